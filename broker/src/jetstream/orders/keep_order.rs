//! What the keeper asks the shards, the work they name, and what became of it.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use hitherto_jetstream::GroupId;
use hitherto_storage::{
    Error, Finding, MergeTables, MergedFile, Rewrite, Rewritten, SegmentFile, Shred,
};

/// A request to a shard for what there is to do.
pub(crate) enum KeepOrder {
    /// Name the complete segments of your streams.
    Scrub(SyncSender<Vec<(GroupId, SegmentFile)>>),
    /// Name at most one segment of each stream to write anew, and the files to overwrite.
    Rewrite(SyncSender<Vec<KeepWork>>),
}

/// Work on the files of one stream. What is left of it when it is dropped, for example because the keeper has
/// not waited for the answer, goes back to the owner: its store begins nothing new before that.
pub(crate) struct KeepWork {
    pub(crate) group: GroupId,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) shreds: Vec<Shred>,
    pub(crate) merge: Option<MergeTables>,
    pub(crate) owner: Arc<dyn TakeBack>,
}

/// The owner of a stream, to whom what is left of the work goes back.
pub(crate) trait TakeBack: Send + Sync {
    /// Takes what became of work on a group.
    fn take_back(&self, group: GroupId, kept: Kept);
}

impl Drop for KeepWork {
    fn drop(&mut self) {
        if let Some(merge) = self.merge.take() {
            let kept = Kept::Merged(merge, Ok(None));
            self.owner.take_back(self.group, kept);
        }
        let (rewrite, shreds) = (self.rewrite.take(), mem::take(&mut self.shreds));
        if rewrite.is_some() || !shreds.is_empty() {
            let kept = Kept::LeftUndone(rewrite, shreds);
            self.owner.take_back(self.group, kept);
        }
    }
}

/// What became of such work, for the owner of the stream.
pub(crate) enum Kept {
    /// A segment was read and is damaged.
    Damaged(SegmentFile, Vec<Finding>),
    /// A segment was written anew, or not.
    Rewritten(Rewrite, Result<Option<Rewritten>, Error>),
    /// Nobody came to it.
    LeftUndone(Option<Rewrite>, Vec<Shred>),
    /// Tables of the index were merged, or not.
    Merged(MergeTables, Result<Option<MergedFile>, Error>),
}
