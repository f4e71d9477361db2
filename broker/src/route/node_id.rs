//! The name of a node that outlives its process: bound to the store.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use hitherto_platform::{Disk, Entropy, OpenMode};
use hitherto_storage::Error;

/// The first line of the file, which also says how to read the rest.
const HEADING: &str = "hitherto node 1";

/// Names the founder of the node's cluster.
const CLUSTER_FILE: &str = "cluster.id";

/// Its first line.
const CLUSTER_HEADING: &str = "hitherto cluster 1";

/// Room for the whole file.
const FILE_BYTES_MAX: usize = 256;

/// 16 random bytes, made when the store is first used in a cluster. Copying a store copies it: two nodes
/// with one id refuse each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId([u8; 16]);

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no node id: it has 32 hexadecimal digits")]
pub(crate) struct NodeIdError(String);

impl NodeId {
    /// A new id.
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// The id of the store in `dir`, which must exist; made and made durable when there is none. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is not what it should be.
    pub(crate) fn of_store(
        disk: &dyn Disk,
        dir: &Path,
        entropy: &dyn Entropy,
    ) -> Result<Self, Error> {
        let file = dir.join("node.id");
        let failed = |action| {
            let file = file.clone();
            move |source| Error::Io {
                action,
                file,
                source,
            }
        };
        if disk.exists(&file).map_err(failed("look for"))? {
            return read(disk, &file, HEADING).map_err(failed("read"));
        }
        let id = Self::new(entropy);
        write(disk, (dir, &file), HEADING, id).map_err(failed("write"))?;
        Ok(id)
    }

    /// The founder of the cluster that has admitted the node of this store; `None` while none has. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what it should be.
    pub(crate) fn of_cluster(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, Error> {
        let file = dir.join(CLUSTER_FILE);
        let failed = |source| Error::Io {
            action: "read",
            file: file.clone(),
            source,
        };
        match disk.exists(&file).map_err(failed)? {
            true => read(disk, &file, CLUSTER_HEADING).map(Some).map_err(failed),
            false => Ok(None),
        }
    }

    /// Notes in the store that the cluster this node founded has admitted the node of the store. Blocks.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn note_cluster(self, disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
        let file = dir.join(CLUSTER_FILE);
        let written = write(disk, (dir, &file), CLUSTER_HEADING, self);
        written.map_err(|source| Error::Io {
            action: "write",
            file,
            source,
        })
    }
}

fn read(disk: &dyn Disk, file: &Path, heading: &str) -> io::Result<NodeId> {
    let mut bytes = [0; FILE_BYTES_MAX];
    let opened = disk.open(file, OpenMode::Read)?;
    let read = opened.read_at(&mut bytes, 0)?;
    let text = String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()).into_owned();
    let invalid = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
    let mut lines = text.lines();
    if lines.next() != Some(heading) {
        return Err(invalid(format!("its first line is not {heading:?}")));
    }
    let id = lines.next().unwrap_or_default().parse();
    id.map_err(|error: NodeIdError| invalid(error.to_string()))
}

/// Written under another name and renamed, so that there is a whole file or none.
fn write(
    disk: &dyn Disk,
    (dir, file): (&Path, &Path),
    heading: &str,
    id: NodeId,
) -> io::Result<()> {
    let unfinished = file.with_extension("tmp");
    let opened = disk.open(&unfinished, OpenMode::Create)?;
    opened.set_len(0)?;
    opened.write_at(format!("{heading}\n{id}\n").as_bytes(), 0)?;
    opened.sync_data()?;
    disk.rename(&unfinished, file)?;
    disk.sync_dir(dir)
}

/// The log names the node by the same bits, and shows them the same way.
impl From<NodeId> for hitherto_cluster::NodeId {
    fn from(id: NodeId) -> Self {
        Self(u128::from_be_bytes(id.0))
    }
}

impl From<hitherto_cluster::NodeId> for NodeId {
    fn from(id: hitherto_cluster::NodeId) -> Self {
        Self(id.0.to_be_bytes())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let decoded = HEXLOWER.decode(text.as_bytes()).ok();
        let bytes = decoded.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| NodeIdError(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use hitherto_platform::{FaultyDisk, SeededEntropy};

    use super::*;

    #[test]
    fn a_store_keeps_its_id() {
        let (disk, entropy) = (FaultyDisk::new(), SeededEntropy::new(1));
        let dir = Path::new("/store");
        disk.create_dir_all(dir).unwrap();
        let id = NodeId::of_store(&disk, dir, &entropy).unwrap();
        assert_eq!(NodeId::of_store(&disk, dir, &entropy).unwrap(), id);
        assert_eq!(id.to_string().parse(), Ok(id));
        let in_the_log = hitherto_cluster::NodeId::from(id);
        assert_eq!(in_the_log.to_string(), id.to_string());
        assert_eq!(NodeId::from(in_the_log), id);
        assert_ne!(NodeId::new(&entropy), id);
        assert_eq!(NodeId::of_cluster(&disk, dir).unwrap(), None);
        let founder = NodeId::new(&entropy);
        founder.note_cluster(&disk, dir).unwrap();
        assert_eq!(NodeId::of_cluster(&disk, dir).unwrap(), Some(founder));
        assert_eq!(NodeId::of_store(&disk, dir, &entropy).unwrap(), id);
    }

    #[test]
    fn a_damaged_file_is_told_and_not_replaced() {
        let (disk, entropy) = (FaultyDisk::new(), SeededEntropy::new(1));
        let dir = Path::new("/store");
        disk.create_dir_all(dir).unwrap();
        let file = disk.open(&dir.join("node.id"), OpenMode::Create).unwrap();
        for content in ["other 1\n", "hitherto node 1\nxyz\n"] {
            file.set_len(0).unwrap();
            file.write_at(content.as_bytes(), 0).unwrap();
            let error = NodeId::of_store(&disk, dir, &entropy).unwrap_err();
            assert!(error.to_string().contains("node.id"), "{error}");
        }
        assert!("00".parse::<NodeId>().is_err());
    }
}
