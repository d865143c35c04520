//! Every NATS subject, bucket and key of Lath, built and read in this one place.
//!
//! Parts are joined by `.` only, and no identifier contains a dot, so no two different things share a subject
//! and none is a prefix of another's (invariant N6).

use crate::id::{AppName, ComponentId, HostId, IdError, LatticeId, Revision};
use crate::provider::WireId;

/// First tokens of every control subject: product and version of the API.
const ROOT: &str = "lath.v1";

/// Builds the subjects of one lattice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    lattice: LatticeId,
}

impl Subjects {
    /// The API version that pings announce.
    pub const API: &'static str = ROOT;

    /// Subjects of `lattice`.
    #[must_use]
    pub const fn new(lattice: LatticeId) -> Self {
        Self { lattice }
    }

    /// The lattice.
    #[must_use]
    pub const fn lattice(&self) -> &LatticeId {
        &self.lattice
    }

    /// Request to one host: `ApplyRequest`.
    #[must_use]
    pub fn apply(&self, host: &HostId) -> String {
        format!("{ROOT}.{}.host.{host}.apply", self.lattice)
    }

    /// Request to one host: `InventoryRequest`.
    #[must_use]
    pub fn inventory(&self, host: &HostId) -> String {
        format!("{ROOT}.{}.host.{host}.inventory", self.lattice)
    }

    /// Request to one host: `PingRequest`.
    #[must_use]
    pub fn ping(&self, host: &HostId) -> String {
        format!("{ROOT}.{}.host.{host}.ping", self.lattice)
    }

    /// Request to one host: `DrainRequest`.
    #[must_use]
    pub fn drain(&self, host: &HostId) -> String {
        format!("{ROOT}.{}.host.{host}.drain", self.lattice)
    }

    /// Request to one host: `DrainRequest`.
    #[must_use]
    pub fn undrain(&self, host: &HostId) -> String {
        format!("{ROOT}.{}.host.{host}.undrain", self.lattice)
    }

    /// Request to one host: `LabelRequest`.
    #[must_use]
    pub fn label(&self, host: &HostId) -> String {
        format!("{ROOT}.{}.host.{host}.label", self.lattice)
    }

    /// Everything sent to one host.
    #[must_use]
    pub fn host_requests(&self, host: &HostId) -> String {
        format!("{ROOT}.{}.host.{host}.*", self.lattice)
    }

    /// Request to all hosts, each of which answers: `PingRequest`.
    #[must_use]
    pub fn ping_hosts(&self) -> String {
        format!("{ROOT}.{}.hosts.ping", self.lattice)
    }

    /// Request to all hosts: `LinksRequest`. Those answer that have such links.
    #[must_use]
    pub fn links_of_hosts(&self) -> String {
        format!("{ROOT}.{}.hosts.links", self.lattice)
    }

    /// Request to the hosts of a provider, each of which answers: `LinkPutRequest`.
    #[must_use]
    pub fn put_link(&self, provider: &ComponentId) -> String {
        format!("{ROOT}.{}.provider.{provider}.put-link", self.lattice)
    }

    /// Request to the hosts of a provider, each of which answers: `LinkDeleteRequest`.
    #[must_use]
    pub fn delete_link(&self, provider: &ComponentId) -> String {
        format!("{ROOT}.{}.provider.{provider}.delete-link", self.lattice)
    }

    /// Everything sent to the hosts of a provider.
    #[must_use]
    pub fn provider_requests(&self, provider: &ComponentId) -> String {
        format!("{ROOT}.{}.provider.{provider}.*", self.lattice)
    }

    /// Request to the managers, one of which answers. `verb` is one of [`AppVerb`].
    #[must_use]
    pub fn app(&self, verb: AppVerb) -> String {
        format!("{ROOT}.{}.app.{}", self.lattice, verb.as_str())
    }

    /// Everything sent to the managers.
    #[must_use]
    pub fn app_requests(&self) -> String {
        format!("{ROOT}.{}.app.*", self.lattice)
    }

    /// Queue group of the managers: one of them answers a request.
    #[must_use]
    pub fn manager_group(&self) -> String {
        format!("{ROOT}.{}.manager", self.lattice)
    }

    /// Event of a host; `kind` is the token for its type.
    #[must_use]
    pub fn host_event(&self, host: &HostId, kind: HostEventKind) -> String {
        format!("{ROOT}.{}.evt.host.{host}.{}", self.lattice, kind.as_str())
    }

    /// Where a host says that it lives: `HostAlive`.
    #[must_use]
    pub fn host_alive(&self, host: &HostId) -> String {
        format!("{ROOT}.{}.alive.{host}", self.lattice)
    }

    /// Where all hosts say that they live.
    #[must_use]
    pub fn hosts_alive(&self) -> String {
        format!("{ROOT}.{}.alive.*", self.lattice)
    }

    /// The host of a subject of [`Subjects::host_alive`]: a host may only publish below its own id, so the subject tells
    /// who speaks.
    ///
    /// # Errors
    /// When the subject does not end with the id of one.
    pub fn host_of_alive(subject: &str) -> Result<HostId, IdError> {
        Self::verb(subject).parse()
    }

    /// Events of all hosts.
    #[must_use]
    pub fn host_events(&self) -> String {
        format!("{ROOT}.{}.evt.host.>", self.lattice)
    }

    /// Status events of one app.
    #[must_use]
    pub fn app_event(&self, app: &AppName) -> String {
        format!("{ROOT}.{}.evt.app.{app}", self.lattice)
    }

    /// Every event of the lattice.
    #[must_use]
    pub fn events(&self) -> String {
        format!("{ROOT}.{}.evt.>", self.lattice)
    }

    /// Prefix of the invocation subjects of a component, and its queue group, as in 1.x: `{lattice}.{id}`.
    #[must_use]
    pub fn invocations(&self, component: &ComponentId) -> String {
        format!("{}.{component}", self.lattice)
    }

    /// [`Subjects::invocations`] of one process of a provider.
    #[must_use]
    pub fn process_invocations(&self, process: &WireId) -> String {
        format!("{}.{process}", self.lattice)
    }

    /// Last token of a request subject: the verb.
    #[must_use]
    pub fn verb(subject: &str) -> &str {
        subject.rsplit_once('.').map_or(subject, |(_, verb)| verb)
    }

    /// Name of a bucket of this lattice.
    #[must_use]
    pub fn bucket(&self, bucket: Bucket) -> String {
        format!("lath-{}-{}", bucket.as_str(), self.lattice)
    }
}

/// What can be asked of the managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppVerb {
    /// `DeployRequest` → `ChangeReply`.
    Deploy,
    /// `RollbackRequest` → `ChangeReply`.
    Rollback,
    /// `AppRequest` → `ChangeReply`: stop the app, keep its revisions.
    Undeploy,
    /// `AppRequest` → `ChangeReply`: stop the app and forget it.
    Delete,
    /// `AppRequest` → `AppStatus`.
    Status,
    /// `AppRequest` → `History`.
    History,
    /// `ListRequest` → `AppList`.
    List,
    /// `ListRequest` → `HostList`.
    Hosts,
    /// `DeployRequest` → `Plan`: what the deploy would do.
    Plan,
    /// `RolloutRequest` → `ChangeReply`.
    Rollout,
    /// `ScaleRequest` → `ChangeReply`.
    Scale,
    /// `RevisionRequest` → `RevisionShown`.
    Show,
    /// `DiffRequest` → `RevisionDiff`.
    Diff,
    /// `TagRequest` → `Tags`.
    Tag,
    /// `ListRequest` → `ManagerInfo`.
    Ping,
}

impl AppVerb {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Deploy,
        Self::Rollback,
        Self::Undeploy,
        Self::Delete,
        Self::Status,
        Self::History,
        Self::List,
        Self::Hosts,
        Self::Plan,
        Self::Rollout,
        Self::Scale,
        Self::Show,
        Self::Diff,
        Self::Tag,
        Self::Ping,
    ];

    /// The subject's last token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
            Self::Undeploy => "undeploy",
            Self::Delete => "delete",
            Self::Status => "status",
            Self::History => "history",
            Self::List => "list",
            Self::Hosts => "hosts",
            Self::Plan => "plan",
            Self::Rollout => "rollout",
            Self::Scale => "scale",
            Self::Show => "show",
            Self::Diff => "diff",
            Self::Tag => "tag",
            Self::Ping => "ping",
        }
    }

    /// The verb of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == name)
    }
}

/// Kinds of host events, as subject tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostEventKind {
    /// `EventData::Heartbeat`.
    Heartbeat,
    /// `EventData::Inventory`.
    Inventory,
    /// `EventData::Calls`.
    Calls,
    /// `EventData::HostStopped`.
    Stopped,
}

impl HostEventKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Inventory => "inventory",
            Self::Calls => "calls",
            Self::Stopped => "stopped",
        }
    }
}

/// What a lattice keeps in JetStream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Key-value: one desired record for each app, key [`app_key`].
    Apps,
    /// Key-value: revisions, each written once, key [`revision_key`].
    Revisions,
    /// Key-value: which manager acts, key [`LEASE_KEY`].
    Lease,
    /// Key-value: links, configs and starts by hand, as tools of 1.x ask for them. Keys belong to the manager.
    Lattice,
    /// Object store: code by the hexadecimal digits of its digest.
    Components,
}

impl Bucket {
    // No part contains a dash, so the join with the lattice's name has one reading.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Apps => "apps",
            Self::Revisions => "revisions",
            Self::Lease => "lease",
            Self::Lattice => "lattice",
            Self::Components => "components",
        }
    }
}

/// Key of the lease in [`Bucket::Lease`].
pub const LEASE_KEY: &str = "manager";

/// Key of an app's desired record in [`Bucket::Apps`].
#[must_use]
pub fn app_key(app: &AppName) -> String {
    app.to_string()
}

/// Key of a revision in [`Bucket::Revisions`].
#[must_use]
pub fn revision_key(app: &AppName, revision: Revision) -> String {
    format!("{app}.{revision}")
}

/// The app and revision of a key in [`Bucket::Revisions`].
///
/// # Errors
/// When the key is not of that form.
pub fn parse_revision_key(key: &str) -> Result<(AppName, Revision), IdError> {
    let (app, revision) = key.split_once('.').unwrap_or((key, ""));
    Ok((app.parse()?, revision.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        let app: AppName = "shop".parse().unwrap();
        assert_eq!(parse_revision_key(&revision_key(&app, Revision(7))).unwrap(), (app, Revision(7)));
        assert!(parse_revision_key("shop").is_err());
        assert!(parse_revision_key("shop.0").is_err());
    }

    #[test]
    fn n6_subjects_of_different_lattices_never_overlap() {
        let names = ["a", "a-b", "a_b", "b", "apps-a", "host"];
        let all: Vec<String> = names
            .iter()
            .flat_map(|name| {
                let subjects = Subjects::new(name.parse().unwrap());
                let app: AppName = "a".parse().unwrap();
                [
                    subjects.ping_hosts(),
                    subjects.app(AppVerb::List),
                    subjects.app_event(&app),
                    subjects.bucket(Bucket::Apps),
                    subjects.bucket(Bucket::Components),
                ]
            })
            .collect();
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn verbs_are_found_by_their_token() {
        let subjects = Subjects::new("default".parse().unwrap());
        for verb in AppVerb::ALL {
            assert_eq!(AppVerb::named(Subjects::verb(&subjects.app(verb))), Some(verb));
        }
    }
}
