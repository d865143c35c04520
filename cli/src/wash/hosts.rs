//! Hosts by what people call them: an id, its beginning, or a name.

use lath_wasmcloud::subject::Control;
use lath_wasmcloud::{HostDescription, HostInventory};

use super::Lattice;
use crate::failure::{Exit, Failure};

/// Fewest characters of an id that name a host.
const SHORTEST: usize = 4;

impl Lattice {
    /// All hosts that answer, in order of their ids.
    pub(super) async fn hosts(&self) -> Result<Vec<HostDescription>, Failure> {
        let mut hosts: Vec<HostDescription> = self.gather(Control::Ping, Vec::new(), self.patience).await?;
        hosts.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(hosts)
    }

    /// The id of the host that is meant.
    pub(super) async fn host(&self, named: &str) -> Result<String, Failure> {
        if named.parse::<lath_control_api::HostId>().is_ok() {
            return Ok(named.to_owned());
        }
        let hosts = self.hosts().await?;
        let meant = |host: &&HostDescription| {
            host.friendly_name == named || (named.len() >= SHORTEST && host.id.starts_with(named))
        };
        let mut found = hosts.iter().filter(meant);
        match (found.next(), found.next()) {
            (Some(host), None) => Ok(host.id.clone()),
            (Some(_), Some(_)) => {
                Err(Failure::new(Exit::Usage, format!("`{named}` may be several hosts"))
                    .help("lath get hosts"))
            }
            (None, _) => {
                Err(Failure::new(Exit::NotFound, format!("no host is called `{named}`"))
                    .help("lath get hosts"))
            }
        }
    }

    /// What a host runs.
    pub(super) async fn inventory(&self, host: &str) -> Result<HostInventory, Failure> {
        let reply = self.ask(Control::Inventory(host), Vec::new()).await?;
        reply.response.ok_or_else(|| Failure::new(Exit::Failed, format!("{host} has told no inventory")))
    }

    /// What all hosts run; those that do not answer in time are left out.
    pub(super) async fn inventories(&self) -> Result<Vec<HostInventory>, Failure> {
        let mut all = Vec::new();
        for host in self.hosts().await? {
            all.extend(self.inventory(&host.id).await.ok());
        }
        Ok(all)
    }
}
