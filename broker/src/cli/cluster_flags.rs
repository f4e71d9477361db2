//! What a command line says about the other nodes, in either form.

use anyhow::bail;
use hitherto_broker::config::ServerOptions;

/// The flags; `None` for those that were not given.
#[derive(Debug)]
pub(super) struct ClusterFlags<'a> {
    pub(super) listen: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) routes: Option<&'a str>,
    pub(super) advertise: Option<&'a str>,
    pub(super) no_advertise: Option<bool>,
    pub(super) connect_retries: Option<u32>,
}

impl ClusterFlags<'_> {
    /// Puts them into the options. `flag` is the one that makes a server one of a cluster.
    ///
    /// # Errors
    /// When an address is none, or the flags are about a cluster the server is not in.
    pub(super) fn apply(self, options: &mut ServerOptions, flag: &str) -> anyhow::Result<()> {
        let is_silent = self.name.is_none()
            && self.routes.is_none()
            && self.advertise.is_none()
            && self.no_advertise.is_none()
            && self.connect_retries.is_none();
        let Some(cluster) = &mut options.cluster else {
            if is_silent {
                return Ok(());
            }
            bail!(
                "the other options of a cluster need {flag} URL, or a configuration file with cluster"
            );
        };
        if let Some(listen) = self.listen {
            cluster.listen_on(listen)?;
        }
        if let Some(routes) = self.routes {
            cluster.set_routes(routes)?;
        }
        if let Some(name) = self.name {
            cluster.set_name(name);
        }
        let mut changed = cluster.clone();
        if let Some(address) = self.advertise {
            changed = changed.advertise(address);
        }
        if self.no_advertise == Some(true) {
            changed = changed.no_advertise();
        }
        if let Some(retries) = self.connect_retries {
            changed = changed.connect_retries(retries);
        }
        *cluster = changed;
        Ok(())
    }
}
