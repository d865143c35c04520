//! Hosts: who is there, what they run, and how they are stopped.

use serde::{Deserialize, Serialize};

use crate::Texts;
use crate::component::ComponentDescription;
use crate::provider::ProviderDescription;

/// A host's answer to `host.ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDescription {
    /// Where its invocations go, a NATS address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc_host: Option<String>,
    /// Where its control requests come from, a NATS address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctl_host: Option<String>,
    /// A name for people, new with every start.
    pub friendly_name: String,
    /// Public key of kind server: 56 characters that begin with `N`. `wash` drops hosts with any other id.
    pub id: String,
    /// Domain of its buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub js_domain: Option<String>,
    /// What auctions choose by.
    pub labels: Texts,
    /// The lattice that it is part of.
    pub lattice: String,
    /// The time since its start, whole seconds in words: `1h 2m 3s`.
    pub uptime_human: String,
    /// The same as a number.
    pub uptime_seconds: u64,
    /// Version of the host; readers want a semantic version.
    pub version: String,
}

/// What a host runs: the answer to `host.get`, and the data of its heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInventory {
    /// Components that run. What is being fetched, or has failed, is not among them.
    #[serde(alias = "actors")]
    pub components: Vec<ComponentDescription>,
    /// Providers whose process was started.
    pub providers: Vec<ProviderDescription>,
    /// Its public key.
    pub host_id: String,
    /// Its name for people.
    pub friendly_name: String,
    /// Its labels.
    pub labels: Texts,
    /// Its version.
    pub version: String,
    /// Time since its start, in words.
    pub uptime_human: String,
    /// The same in seconds.
    pub uptime_seconds: u64,
}

/// The request `host.stop`. An empty payload means the same as this with nothing in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopHost {
    /// Which host; when it is not empty it must be the one of the subject.
    #[serde(default)]
    pub host_id: String,
    /// How long it may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

/// The time since a start in words, as 1.x writes it: the largest units first, those that are 0 left out, whole seconds.
#[must_use]
pub fn uptime(seconds: u64) -> String {
    /// Seconds of each unit, and its name for one and for several. A month is a twelfth of a year of 365.25 days.
    const UNITS: [(u64, &str, &str); 6] = [
        (31_557_600, "year", "years"),
        (2_630_016, "month", "months"),
        (86_400, "day", "days"),
        (3_600, "h", "h"),
        (60, "m", "m"),
        (1, "s", "s"),
    ];
    let (mut rest, mut words) = (seconds, Vec::new());
    for (length, one, several) in UNITS {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            words.push(format!("{count}{}", if count == 1 { one } else { several }));
        }
    }
    if words.is_empty() { "0s".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_are_words() {
        let day = 86_400;
        let known = [
            (0, "0s"),
            (113, "1m 53s"),
            (3_600, "1h"),
            (day + 1, "1day 1s"),
            (2 * day + 3_723, "2days 1h 2m 3s"),
            (31_557_600 + 2 * 2_630_016, "1year 2months"),
        ];
        for (seconds, words) in known {
            assert_eq!(uptime(seconds), words);
        }
    }
}
