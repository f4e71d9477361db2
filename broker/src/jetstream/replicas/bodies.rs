//! The bodies of a stream's messages: what the state machine wants stored or removed.

use hitherto_jetstream::Output;
use hitherto_storage::StreamStore;

/// Stores or removes a body.
pub(crate) fn keep_body(store: &mut StreamStore, output: Output) {
    match output {
        Output::Store(message) => store.append(message),
        Output::Remove(ranges) => {
            for range in ranges.iter() {
                store.remove_range(range);
            }
        }
        Output::Erase(seq) => store.erase(seq),
        Output::Deliver(_)
        | Output::Status(_)
        | Output::Reply { .. }
        | Output::Propose { .. }
        | Output::Republish(_)
        | Output::Watch(_)
        | Output::Unwatch { .. }
        | Output::Advisory { .. } => {}
    }
}
