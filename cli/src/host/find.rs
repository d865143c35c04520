//! Which host is meant: by id, by name, or by the beginning of an id.
//!
//! Choosing is pure. Nothing is guessed: what fits two hosts is an error that names both.

use lath_control_api::app::KnownHost;
use lath_control_api::{ErrorCode, HostId};

use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::gather::{everyone, known_hosts};
use crate::near;

/// A host, as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its id.
    pub(super) host: HostId,
    /// Its name for people.
    pub(super) name: String,
    /// What the manager knows of it, where there is one.
    pub(super) known: Option<Box<KnownHost>>,
}

/// The host that is called so.
pub(super) async fn find(session: &Session, called: &str) -> Result<Found, Failure> {
    let hosts: Vec<Found> = match known_hosts(session).await? {
        Some(hosts) => hosts.into_iter().map(of_manager).collect(),
        None => {
            let hosts = everyone(session).await?.into_iter();
            hosts.map(|reply| Found { host: reply.host, name: reply.name, known: None }).collect()
        }
    };
    choose(&hosts, called)
}

fn of_manager(known: KnownHost) -> Found {
    Found { host: known.summary.host.clone(), name: known.summary.name.clone(), known: Some(Box::new(known)) }
}

/// An id first, then a name, then the beginning of an id.
fn choose(hosts: &[Found], called: &str) -> Result<Found, Failure> {
    let fits: [fn(&Found, &str) -> bool; 3] = [
        |host, called| host.host.as_str() == called,
        |host, called| host.name == called,
        |host, called| !called.is_empty() && host.host.as_str().starts_with(called),
    ];
    for fit in fits {
        let mut fitting: Vec<Found> = hosts.iter().filter(|host| fit(host, called)).cloned().collect();
        match fitting.len() {
            0 => {}
            1 => return fitting.pop().ok_or_else(|| absent(hosts, called)),
            _ => return Err(ambiguous(&fitting, called)),
        }
    }
    Err(absent(hosts, called))
}

fn ambiguous(fitting: &[Found], called: &str) -> Failure {
    let failure = Failure::new(Exit::Usage, format!("`{called}` may be any of {} hosts", fitting.len()));
    let failure =
        fitting.iter().fold(failure, |failure, host| failure.note(format!("{} {}", host.host, host.name)));
    failure.help("name it by its id, or by more of it")
}

fn absent(hosts: &[Found], called: &str) -> Failure {
    let failure = Failure::coded(ErrorCode::NotFound, format!("no host is called `{called}`"));
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    near::instead(failure, "hosts", called, &names, "lath hosts -o wide")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(beginning: &str, name: &str) -> Found {
        let id = format!("{beginning}{}", "A".repeat(56 - beginning.len()));
        Found { host: id.parse().unwrap(), name: name.into(), known: None }
    }

    fn hosts() -> Vec<Found> {
        vec![host("NAB", "amber-fox"), host("NAC", "blue-owl"), host("NB", "blue-owl"), host("NCC", "NB")]
    }

    #[test]
    fn a_host_is_called_by_id_name_or_the_beginning_of_its_id() {
        let name = |called: &str| choose(&hosts(), called).map(|found| found.host.as_str()[..3].to_owned());
        assert_eq!(name("amber-fox").unwrap(), "NAB");
        assert_eq!(name("NAC").unwrap(), "NAC");
        assert_eq!(name(host("NB", "").host.as_str()).unwrap(), "NBA");
        // A name that looks like the beginning of another's id is still a name.
        assert_eq!(name("NB").unwrap(), "NCC");
    }

    #[test]
    fn what_fits_two_hosts_or_none_is_an_error_that_names_them() {
        let twice = choose(&hosts(), "blue-owl").unwrap_err();
        assert_eq!((twice.exit, twice.notes.len()), (Exit::Usage, 2));
        assert_eq!(choose(&hosts(), "NA").unwrap_err().exit, Exit::Usage);
        let none = choose(&hosts(), "amber-fxo").unwrap_err();
        assert_eq!(none.exit, Exit::NotFound);
        insta::assert_snapshot!(none, @r"
        error[E0102]: no host is called `amber-fxo`
          = help: did you mean `amber-fox`?
        ");
        assert_eq!(choose(&[], "").unwrap_err().exit, Exit::NotFound);
    }
}
