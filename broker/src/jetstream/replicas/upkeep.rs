//! Looking after the files of a stream: what of it is in memory and goes to the disk, and the orders of
//! checkpointer and keeper.

use std::sync::Arc;

use hitherto_jetstream::LogIndex;
use hitherto_storage::{
    Error, Manifest, MergeTables, MergedFile, PendingCheckpoint, Rewrite, Rewritten,
};

use super::replica::Replica;
use crate::jetstream::files::{Reserve, StateSnapshot, Stores, freezing};
use crate::jetstream::orders::{KeepWork, Kept, ShardQueue};

impl Replica {
    /// Writes complete blocks of the tail to the disk; `false` when that fails.
    pub(crate) fn write_behind(&mut self, reserve: &Reserve) -> bool {
        let flushed = self.store.flush();
        if let Err(error) = &flushed {
            if matches!(error, Error::Full { .. }) {
                reserve.give_up();
            }
            let stream = &self.entry.name;
            tracing::error!(%stream, %error, "cannot write messages behind; publishes are refused");
        }
        flushed.is_ok()
    }

    /// Says how much memory the index takes now.
    pub(crate) fn report_index(&self) {
        self.captured.report_index(self.stream.index_bytes());
    }

    /// Freezes a piece of the index, and tells whether it was worth it; `None` when the disk does not let us.
    pub(crate) fn freeze(&mut self, stores: &Stores, reserve: &Reserve) -> Option<bool> {
        let frozen = freezing::freeze(&mut self.stream, &mut self.store, &stores.tables);
        if let Err(error) = &frozen {
            if matches!(error, Error::Full { .. }) {
                reserve.give_up();
            }
            let stream = &self.entry.name;
            tracing::error!(%stream, %error, "cannot write a table of the index");
        }
        self.report_index();
        frozen.ok()
    }

    /// Describes the stream for a checkpoint.
    pub(crate) fn checkpoint(
        &mut self,
    ) -> Result<(LogIndex, StateSnapshot, PendingCheckpoint), Error> {
        let (tables, only_cold) = self.stream.tables();
        self.store.name_tables(&tables, only_cold);
        let bodies = self.store.prepare_checkpoint()?;
        let state = StateSnapshot::Stream(Box::new(self.stream.snapshot()));
        Ok((self.stream.applied(), state, bodies))
    }

    /// The checkpoint that names these files is on disk.
    pub(crate) fn checkpoint_saved(&mut self, manifest: &Manifest) {
        if let Err(error) = self.store.checkpoint_saved(manifest) {
            let stream = &self.entry.name;
            tracing::warn!(%stream, %error, "cannot remove old segments yet");
        }
    }

    /// What there is to do for the files of the stream at rest.
    pub(crate) fn name_work(&mut self, owner: &Arc<ShardQueue>) -> KeepWork {
        let merge = self.stream.begin_merge();
        KeepWork {
            group: self.entry.group,
            rewrite: self.store.begin_rewrite(),
            shreds: self.store.take_shreds(),
            merge: merge.map(|merge| self.store.begin_merge(merge)),
            owner: Arc::<ShardQueue>::clone(owner),
        }
    }

    /// Takes in what the keeper has done, or has not.
    pub(crate) fn keep(&mut self, kept: Kept, stores: &Stores) {
        match kept {
            Kept::Damaged(segment, findings) => {
                self.damage.note_findings(&self.store, &segment, findings)
            }
            Kept::Rewritten(rewrite, outcome) => self.finish_rewrite(&rewrite, outcome),
            Kept::LeftUndone(rewrite, shreds) => {
                if let Some(rewrite) = rewrite {
                    self.finish_rewrite(&rewrite, Ok(None));
                }
                self.store.return_shreds(shreds);
            }
            Kept::Merged(merge, outcome) => self.finish_merge(&merge, outcome, stores),
        }
    }

    /// Takes in what became of a rewrite.
    fn finish_rewrite(&mut self, rewrite: &Rewrite, outcome: Result<Option<Rewritten>, Error>) {
        if let Err(error) = &outcome {
            let (stream, sequences) = (&self.entry.name, rewrite.sequences());
            tracing::warn!(%stream, ?sequences, %error, "cannot rewrite a segment");
        }
        self.store.finish_rewrite(rewrite, outcome);
    }

    /// Takes in what became of a merge of tables.
    fn finish_merge(
        &mut self,
        merge: &MergeTables,
        outcome: Result<Option<MergedFile>, Error>,
        stores: &Stores,
    ) {
        if let Err(error) = &outcome {
            let stream = &self.entry.name;
            tracing::warn!(%stream, %error, "cannot merge tables of the index");
        }
        let merged = self.store.take_merged(outcome.ok().flatten());
        self.stream
            .finish_merge(merge.merge(), merged, &stores.tables);
        self.report_index();
    }
}
