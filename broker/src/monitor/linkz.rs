//! `/routez`, `/gatewayz`, `/leafz`: links to other servers, of which a node on its own has none.

use hitherto_protocol::Timestamp;
use serde::Serialize;

use super::Monitor;
use super::varz::Absent;

/// Routes.
#[derive(Debug, Serialize)]
pub(crate) struct Routez<'a> {
    server_id: &'a str,
    server_name: &'a str,
    now: Timestamp,
    num_routes: usize,
    routes: [Absent; 0],
}

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
    /// Makes the document of routes.
    pub(crate) fn routez(&self) -> Routez<'_> {
        Routez {
            server_id: &self.info().server_id,
            server_name: &self.info().server_name,
            now: self.now(),
            num_routes: 0,
            routes: [],
        }
    }

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
