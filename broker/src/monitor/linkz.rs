//! `/gatewayz`, `/leafz`: links to other clusters and to leaf nodes, of which there are none.

use hitherto_protocol::Timestamp;
use serde::Serialize;

use super::Monitor;
use super::varz::Absent;

/// Gateways.
#[derive(Debug, Serialize)]
pub(crate) struct Gatewayz<'a> {
    server_id: &'a str,
    now: Timestamp,
    outbound_gateways: Absent,
    inbound_gateways: Absent,
}

/// Leaf nodes.
#[derive(Debug, Serialize)]
pub(crate) struct Leafz<'a> {
    server_id: &'a str,
    now: Timestamp,
    leafnodes: usize,
    leafs: [Absent; 0],
}

impl Monitor {
    /// Makes the document of gateways.
    pub(crate) fn gatewayz(&self) -> Gatewayz<'_> {
        Gatewayz {
            server_id: &self.info().server_id,
            now: self.now(),
            outbound_gateways: Absent {},
            inbound_gateways: Absent {},
        }
    }

    /// Makes the document of leaf nodes.
    pub(crate) fn leafz(&self) -> Leafz<'_> {
        Leafz {
            server_id: &self.info().server_id,
            now: self.now(),
            leafnodes: 0,
            leafs: [],
        }
    }
}
