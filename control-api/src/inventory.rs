//! What runs on a host, as the host itself sees it. The truth that managers plan by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::artifact::Digest;
use crate::builtin::BuiltinAliases;
use crate::bundle::Weight;
use crate::claims::Claims;
use crate::fence::Fence;
use crate::id::{AppName, ComponentId, ComponentName, Epoch, HostId, Revision};
use crate::label::Labels;
use crate::provider::{LinkKey, WireId};
use crate::time::Timestamp;

/// Who a host is and how far its news goes. Sent as a heartbeat, and at the head of every inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostSummary {
    /// Public key of the host; stays the same when it restarts.
    pub host: HostId,
    /// Name for people.
    pub name: String,
    /// What spreads choose by.
    #[serde(default)]
    pub labels: Labels,
    /// Version of Lath.
    pub version: String,
    /// One run of the host's process: a ULID. Two at the same time under one host id are a mistake that shows.
    pub boot: String,
    /// Grows by at least one with every change of the inventory within this boot.
    pub sequence: u64,
    /// When the process started.
    pub started: Timestamp,
    /// Whether it takes work.
    pub state: HostState,
    /// Highest epoch that it has seen.
    #[serde(default)]
    pub epoch: Epoch,
    /// Where its builtin HTTP server listens for routes that name no address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_default: Option<std::net::SocketAddr>,
    /// References that the host takes as builtins.
    #[serde(default)]
    pub builtins: BuiltinAliases,
}

/// Whether a host takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// It does.
    Ready,
    /// It stays and serves what it has until that runs elsewhere, and takes nothing new: so that people can work on
    /// the machine. Kept over restarts.
    Draining,
    /// It is going: nothing new, and what is there moves elsewhere.
    Stopping,
}

/// All that runs on a host, from one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostInventory {
    /// Who.
    pub summary: HostSummary,
    /// Where it listens for HTTP.
    #[serde(default)]
    pub listeners: Vec<ListenerInventory>,
    /// What it runs, in order of the apps' names.
    pub apps: Vec<AppInventory>,
}

/// One page of an inventory; all pages with the same `boot` and `sequence` make one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryPage {
    /// Apps of this page, and the host's head.
    pub inventory: HostInventory,
    /// Ask again after this app; the page is the last when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<AppName>,
}

/// An address on which a host takes HTTP requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerInventory {
    /// Address and port.
    pub address: std::net::SocketAddr,
    /// Routes there, for people.
    pub routes: Vec<String>,
}

/// One app on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppInventory {
    /// Which app.
    pub app: AppName,
    /// The newest decision that the host has accepted for it.
    pub fence: Fence,
    /// False after a restart of the host until a manager has spoken: it serves what its journal says.
    pub confirmed: bool,
    /// Its components, in order of their names. Empty while the last of it drains.
    pub components: Vec<ComponentInventory>,
}

/// One component or capability on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentInventory {
    /// Name in the manifest.
    pub component: ComponentName,
    /// Lattice-wide id.
    pub id: ComponentId,
    /// Every prepared or running spec of it.
    pub units: Vec<UnitInventory>,
}

/// One spec of a component on a host, from its acceptance to the end of its drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitInventory {
    /// What the accepted bundle calls it.
    pub role: Role,
    /// Whether it takes new calls now.
    pub serving: bool,
    /// Share of new calls that it takes.
    pub weight: Weight,
    /// The app's revision that it belongs to.
    pub revision: Revision,
    /// Digest of the spec without its revision.
    pub content: Digest,
    /// As the manifest wrote it.
    pub image: String,
    /// Digest of the code that answers; none for a builtin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// How far it has come.
    pub phase: Phase,
    /// Why it stands there.
    pub reason: Reason,
    /// The reason in words, with names and numbers. Empty when there is nothing to add.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when it has been in this phase.
    pub since: Timestamp,
    /// When it is tried again, by the host's clock; absent when nothing has failed that may come right by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// Most concurrent instances.
    pub max_instances: u32,
    /// Calls since the spec was prepared.
    #[serde(default)]
    pub calls: CallCounts,
    /// What its process is called on the wire; only for a provider. Units of two revisions may have the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<WireId>,
    /// Links to and from providers that this host has put for it, in order of their other ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkInventory>,
    /// What its maker has signed of its code, once it is ready; absent when it is not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
}

/// A link between a unit and a provider: for a provider each of its own, for any other unit those to providers of other apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkInventory {
    /// Where it begins, its interfaces' package, its name.
    #[serde(flatten)]
    pub link: LinkKey,
    /// Where it ends.
    pub target: ComponentId,
    /// How it stands.
    pub state: LinkState,
    /// The provider's words, where it has refused the link. Empty when there is nothing to add.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How a link stands at a provider. Where several processes have it, the worst of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkState {
    /// The provider has said that it took it.
    Accepted,
    /// It was given to the provider, which said nothing, as those on the published SDK of 1.x do.
    Unverified,
    /// It has not been given yet: another process still has it, or none of the provider runs.
    Waiting,
    /// The provider has refused it.
    Refused,
}

/// What a bundle calls a spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It serves, or will as soon as it is ready.
    Stable,
    /// It is prepared beside the stable one.
    Candidate,
    /// It was replaced or taken away.
    Retired,
}

/// How far a spec has come on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Accepted, nothing done yet.
    Pending,
    /// Its code is on the way.
    Fetching,
    /// Its code is made runnable.
    Compiling,
    /// Its imports are checked against capabilities and links.
    Linking,
    /// A first instance is tried, and the probe asked.
    Starting,
    /// Ready for calls.
    Running,
    /// Takes no new calls, finishes what it took.
    Draining,
    /// Gone.
    Stopped,
    /// It could not be prepared; the reason tells. What may come right by itself is tried again, and has failed until it
    /// runs.
    Failed,
    /// It runs and does not answer well. It goes on to take calls.
    Unhealthy,
    /// Its start has failed several times in a row. It takes no calls, and is tried less and less often.
    CrashLooping,
}

impl Phase {
    /// Whether it is ready and well.
    #[must_use]
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Running)
    }

    /// Whether calls go to it when it is to serve: it runs, well or not.
    #[must_use]
    pub const fn takes_calls(self) -> bool {
        matches!(self, Self::Running | Self::Unhealthy)
    }

    /// Whether it takes no calls because something is wrong with it. It may yet come right when it is tried again, but
    /// nobody should wait for that.
    #[must_use]
    pub const fn is_failed(self) -> bool {
        matches!(self, Self::Failed | Self::CrashLooping)
    }
}

/// Why a spec is where it is. Stable texts for scripts; the message beside it is for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing to explain.
    #[default]
    AsAsked,
    /// The code could not be had.
    FetchFailed,
    /// The registry could not be reached: no such name, no connection.
    RegistryUnreachable,
    /// The certificate of the registry is not to be trusted, or it does not speak TLS.
    RegistryUntrusted,
    /// The registry wants other credentials, or the ones there are could not be read.
    RegistryDenied,
    /// The registry has had too many requests.
    RegistryBusy,
    /// The registry failed, or answered what no registry answers.
    RegistryFailed,
    /// The registry has no such image.
    ImageNotFound,
    /// The image holds no code that a host can take.
    ImageUnsupported,
    /// The code came too slowly, or stopped coming.
    FetchTooSlow,
    /// The code ended before all of it had come.
    FetchCutShort,
    /// There is no room on the host's disk, or in what it may use of it.
    DiskFull,
    /// The bytes are not those of the digest.
    DigestMismatch,
    /// The bytes are no WebAssembly component.
    NotAComponent,
    /// The engine refuses the component, or a limit does.
    CompileFailed,
    /// An import has neither capability nor link.
    ImportUnsatisfied,
    /// It lacks an export that a route or link needs.
    ExportMissing,
    /// The first instance trapped or went over a limit; of a provider: no process could be started.
    StartFailed,
    /// The probe got no good answer; of a provider: its requests for health.
    ProbeFailed,
    /// Its calls end in traps or at their deadline, one after another.
    CallsFail,
    /// A setting of a builtin capability is wrong.
    ConfigInvalid,
    /// The address cannot be listened on.
    AddressUnavailable,
    /// The archive of a provider is damaged, or the bytes are neither an archive nor an executable.
    ArchiveInvalid,
    /// The image has no executable for the machine of the host.
    WrongPlatform,
    /// A secret could not be had from its backend, or the backend did not answer.
    SecretUnavailable,
    /// A provider has refused a link; its words are in the message.
    LinkRefused,
    /// A provider has said nothing about a link, and the app's policy asks for an answer.
    LinkUnverified,
    /// The process of a provider has ended by itself; its last words are in the message.
    ProviderExited,
    /// Another spec takes its place.
    Replaced,
    /// The app or component is no longer wanted here.
    Removed,
}

impl Reason {
    /// Whether the same may succeed later without another decision: something outside was wrong, and is looked at
    /// again.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        match self {
            Self::FetchFailed
            | Self::RegistryUnreachable
            | Self::RegistryUntrusted
            | Self::RegistryDenied
            | Self::RegistryBusy
            | Self::RegistryFailed
            | Self::FetchTooSlow
            | Self::FetchCutShort
            | Self::DiskFull
            | Self::SecretUnavailable
            | Self::AddressUnavailable => true,
            Self::AsAsked
            | Self::ImageNotFound
            | Self::ImageUnsupported
            | Self::DigestMismatch
            | Self::NotAComponent
            | Self::CompileFailed
            | Self::ImportUnsatisfied
            | Self::ExportMissing
            | Self::StartFailed
            | Self::ProbeFailed
            | Self::CallsFail
            | Self::ConfigInvalid
            | Self::ArchiveInvalid
            | Self::WrongPlatform
            | Self::LinkRefused
            | Self::LinkUnverified
            | Self::ProviderExited
            | Self::Replaced
            | Self::Removed => false,
        }
    }
}

/// Calls of one spec on one host. Counts only grow while the spec is there.
///
/// Every call that was begun is in exactly one of the other counts: `started` is [`CallCounts::ended`] plus
/// `in_flight`, give or take the calls of the moment in which the counts were read one after another. An answer that
/// has ended badly is counted at once, so it may be in flight as well while its caller still reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallCounts {
    /// Calls begun.
    pub started: u64,
    /// Calls that ended well.
    pub succeeded: u64,
    /// Calls that the component ended by a trap.
    pub trapped: u64,
    /// Calls ended at their deadline.
    pub timed_out: u64,
    /// Calls refused for want of a free instance in time.
    pub overloaded: u64,
    /// Other failures: of the platform, of a target, of an answer that was not completed.
    pub failed: u64,
    /// HTTP requests that the component answered with a status of 500 to 599.
    #[serde(skip_serializing_if = "is_zero")]
    pub answered_5xx: u64,
    /// Calls whose caller went away by itself before they had ended, or sent more than the component takes. No fault
    /// of the component.
    #[serde(skip_serializing_if = "is_zero")]
    pub abandoned: u64,
    /// Calls begun and not ended.
    pub in_flight: u64,
    /// Latency of ended calls: upper bound of a bucket in microseconds to number of calls. The last bucket has no bound.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub latency_us: BTreeMap<u64, u64>,
}

impl CallCounts {
    /// Calls that have ended, however they did.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.failures().saturating_add(self.succeeded).saturating_add(self.abandoned)
    }

    /// Calls that ended badly and not by their caller: what a revision is judged by.
    #[must_use]
    pub fn failures(&self) -> u64 {
        let kinds = [self.trapped, self.timed_out, self.overloaded, self.failed, self.answered_5xx];
        kinds.into_iter().fold(0, u64::saturating_add)
    }

    /// Whether these counts may have been read after `earlier` of the same spec: nothing that only grows has shrunk.
    #[must_use]
    pub fn follows(&self, earlier: &Self) -> bool {
        let growing = |counts: &Self| {
            let Self {
                started,
                succeeded,
                trapped,
                timed_out,
                overloaded,
                failed,
                answered_5xx,
                abandoned,
                ..
            } = *counts;
            [started, succeeded, trapped, timed_out, overloaded, failed, answered_5xx, abandoned]
        };
        growing(self).iter().zip(growing(earlier)).all(|(later, earlier)| *later >= earlier)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_end_is_counted_once() {
        let counts = CallCounts {
            started: 255,
            succeeded: 1,
            trapped: 2,
            timed_out: 4,
            overloaded: 8,
            failed: 16,
            answered_5xx: 32,
            abandoned: 64,
            in_flight: 128,
            latency_us: BTreeMap::new(),
        };
        assert_eq!(counts.ended() + counts.in_flight, counts.started);
        assert_eq!(counts.failures(), 2 + 4 + 8 + 16 + 32);
        let endless = CallCounts { trapped: u64::MAX, failed: u64::MAX, ..counts };
        assert_eq!(endless.ended(), u64::MAX);
    }

    #[test]
    fn later_counts_are_nowhere_less() {
        let early = CallCounts { started: 5, succeeded: 3, in_flight: 2, ..CallCounts::default() };
        let late = CallCounts { started: 6, succeeded: 6, in_flight: 0, ..CallCounts::default() };
        assert!(late.follows(&early) && late.follows(&late));
        assert!(!early.follows(&late));
        let other = CallCounts { started: 9, abandoned: 9, ..CallCounts::default() };
        assert!(!other.follows(&late));
    }
}
