//! The subjects of invocations: spelled here and nowhere else.
//!
//! No inbox subject is made here; those belong to `inbox.rs`. The rule: whatever text comes in, what goes out
//! is one literal subject without wildcards, so that no name from a component can widen a subscription.

use std::fmt;

use async_nats::Subject;
use lath_control_api::{AppName, ComponentId, LatticeId, Revision};

/// The protocol tag, which is part of every invocation subject.
pub(crate) const PROTOCOL: &str = "wrpc.0.0.1";

/// Longest instance or function name, in bytes. NATS has a limit of 4096 bytes for a whole protocol line.
const MAX_NAME: usize = 512;

/// A name that cannot stand in a subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` cannot be invoked: a name has 1 to 512 visible ASCII characters, no `*`, no `>` and no empty part between dots"
)]
pub struct SubjectError {
    /// The name as it was given, cut to 100 characters.
    pub name: String,
}

/// Name of a WIT instance as it is served, such as `wasi:keyvalue/store@0.2.0-draft`, or none for functions
/// that stand at the root of a component.
pub type Instance<'a> = Option<&'a str>;

/// A revision of an app, in whose name calls are made and answered: `{app}@{revision}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppRevision {
    /// The app.
    pub app: AppName,
    /// Its revision.
    pub revision: Revision,
}

impl fmt::Display for AppRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.app, self.revision)
    }
}

/// One function of one component or provider, in one lattice. Cheap to clone; make it once and keep it.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    subject: Subject,
    /// Where those who serve the function as one revision of an app take its calls.
    preferred: Option<Subject>,
}

impl Target {
    /// The function `func` of `instance` at `id`. Names of resource functions may carry their tag
    /// (`[method]bucket.get`), which does not appear on the wire.
    ///
    /// # Errors
    /// When a name cannot stand in a subject.
    pub fn new(
        lattice: &LatticeId,
        id: &ComponentId,
        instance: Instance<'_>,
        func: &str,
    ) -> Result<Self, SubjectError> {
        Self::of_key(lattice, id.as_str(), instance, func)
    }

    /// The same of a callee that is no component: a process of a provider, which is called by its key.
    ///
    /// # Errors
    /// When a name cannot stand in a subject.
    pub fn of_key(
        lattice: &LatticeId,
        key: &str,
        instance: Instance<'_>,
        func: &str,
    ) -> Result<Self, SubjectError> {
        let func = wire_function(func);
        checked(func)?;
        if checked(key)?.contains('.') {
            return Err(SubjectError { name: key.chars().take(100).collect() });
        }
        let subject = match instance {
            Some(instance) => format!("{lattice}.{key}.{PROTOCOL}.{}.{func}", checked(instance)?),
            None => format!("{lattice}.{key}.{PROTOCOL}.{func}"),
        };
        Ok(Self { subject: subject.into(), preferred: None })
    }

    /// The same function, by preference of those who serve it as `revision`. Where none do, anyone who serves the
    /// function is called. The subject is the plain one with `{app}@{revision}` behind it, so that whoever
    /// watches the component sees these calls too.
    #[must_use]
    pub fn preferring(mut self, revision: &AppRevision) -> Self {
        self.preferred = Some(format!("{}.{revision}", self.subject).into());
        self
    }

    /// The invocation subject.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.subject
    }

    pub(crate) fn subject(&self) -> Subject {
        self.subject.clone()
    }

    pub(crate) fn preferred(&self) -> Option<Subject> {
        self.preferred.clone()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)
    }
}

/// A call as its subject tells of it, to somebody who looks on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Who is called.
    pub id: String,
    /// The instance of the function, with its version.
    pub instance: Option<String>,
    /// The function.
    pub func: String,
    /// The revision by preference of which the call is made, as `{app}@{revision}`.
    pub revision: Option<String>,
}

impl Seen {
    /// The subject on which all calls of `id` pass by.
    #[must_use]
    pub fn all_of(lattice: &LatticeId, id: &ComponentId) -> String {
        format!("{}.{PROTOCOL}.>", queue_group(lattice, id))
    }

    /// What `subject` tells. None when it is no subject of a call in `lattice`.
    #[must_use]
    pub fn read(lattice: &LatticeId, subject: &str) -> Option<Self> {
        let rest = subject.strip_prefix(lattice.as_str())?.strip_prefix('.')?;
        let (id, rest) = rest.split_once('.')?;
        let rest = rest.strip_prefix(PROTOCOL)?.strip_prefix('.')?;
        // Only a name of an interface has a slash, and only versions of those and revisions have an `@`.
        let (called, revision) = match rest.rsplit_once('.') {
            Some((called, last)) if last.contains('@') && !last.contains('/') => (called, Some(last)),
            Some(_) | None => (rest, None),
        };
        let (instance, func) = split_instance(called)?;
        let owned = str::to_owned;
        Some(Self {
            id: owned(id),
            instance: instance.map(owned),
            func: owned(func),
            revision: revision.map(owned),
        })
    }

    /// Instance and function in one word, such as `wasi:keyvalue/store@0.2.0-draft.get`.
    #[must_use]
    pub fn operation(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{instance}.{}", self.func),
            None => self.func.clone(),
        }
    }
}

/// An instance and a function of it. Versions and functions of resources have dots, too; no function begins with a
/// digit, and every version has at least three numbers.
fn split_instance(called: &str) -> Option<(Instance<'_>, &str)> {
    let Some(slash) = called.find('/') else { return Some((None, called)) };
    let name = called.get(slash..)?;
    let dots = name.match_indices('.').map(|(at, _)| slash + at);
    let end = match (name.find('@'), name.find('.')) {
        (Some(at), Some(dot)) if at < dot => dots.skip(2).find(|dot| {
            let next = called.as_bytes().get(dot + 1);
            next.is_some_and(|byte| !byte.is_ascii_digit())
        })?,
        (_, dot) => slash + dot?,
    };
    Some((Some(called.get(..end)?), called.get(end + 1..)?))
}

/// The queue group in which every host serves `id`: all replicas on all hosts share the calls.
#[must_use]
pub fn queue_group(lattice: &LatticeId, id: &ComponentId) -> String {
    format!("{lattice}.{id}")
}

/// The name of a function on the wire: without the tag that WIT puts before functions of resources.
#[must_use]
pub fn wire_function(func: &str) -> &str {
    match func.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, name)) => name,
        None => func,
    }
}

fn checked(name: &str) -> Result<&str, SubjectError> {
    let fits = name.len() <= MAX_NAME
        && name.bytes().all(|b| b.is_ascii_graphic() && b != b'*' && b != b'>')
        && name.split('.').all(|part| !part.is_empty());
    if fits { Ok(name) } else { Err(SubjectError { name: name.chars().take(100).collect() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(instance: Instance<'_>, func: &str) -> Result<String, SubjectError> {
        let (lattice, id) = ("default".parse().unwrap(), "http_hello_world".parse().unwrap());
        Target::new(&lattice, &id, instance, func).map(|t| t.as_str().to_owned())
    }

    #[test]
    fn subjects_are_those_of_the_1x_world() {
        assert_eq!(
            target(Some("wrpc:http/incoming-handler@0.1.0"), "handle").unwrap(),
            "default.http_hello_world.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle"
        );
        assert_eq!(target(None, "run").unwrap(), "default.http_hello_world.wrpc.0.0.1.run");
        for tagged in ["[constructor]bucket", "[static]bucket.open", "[method]bucket.get"] {
            let plain = tagged.split(']').nth(1).unwrap();
            assert_eq!(
                target(Some("a:b/c"), tagged).unwrap(),
                format!("default.http_hello_world.wrpc.0.0.1.a:b/c.{plain}")
            );
        }
    }

    #[test]
    fn a_revision_has_a_subject_below_the_plain_one() {
        let (lattice, id) = ("default".parse().unwrap(), "greeter".parse().unwrap());
        let plain = Target::new(&lattice, &id, Some("a:b/c@1.0.0"), "f").unwrap();
        assert_eq!(plain.preferred(), None);
        let three = AppRevision { app: "shop".parse().unwrap(), revision: Revision(3) };
        let preferring = plain.clone().preferring(&three);
        assert_eq!(preferring.subject(), plain.subject());
        assert_eq!(
            preferring.preferred().unwrap().as_str(),
            "default.greeter.wrpc.0.0.1.a:b/c@1.0.0.f.shop@3"
        );
    }

    #[test]
    fn what_is_called_can_be_read_off_the_subject() {
        let (lattice, id) = ("default".parse().unwrap(), "greeter".parse().unwrap());
        let three = AppRevision { app: "shop".parse().unwrap(), revision: Revision(3) };
        for instance in
            [None, Some("a:b/c"), Some("a:b/c@1.0.0"), Some("a:b/c@0.2.0-draft"), Some("a:b/c@1.0.0-rc.1")]
        {
            for func in ["f", "bucket.get", "[method]bucket.get"] {
                let target = Target::new(&lattice, &id, instance, func).unwrap();
                let seen = Seen::read(&lattice, target.as_str()).unwrap();
                assert_eq!((seen.id.as_str(), seen.instance.as_deref()), ("greeter", instance), "{target}");
                assert_eq!((seen.func.as_str(), &seen.revision), (wire_function(func), &None));
                let preferring = target.preferring(&three).preferred().unwrap();
                let seen = Seen::read(&lattice, &preferring).unwrap();
                assert_eq!((seen.instance.as_deref(), seen.func.as_str()), (instance, wire_function(func)));
                assert_eq!(seen.revision.as_deref(), Some("shop@3"));
            }
        }
        for other in ["default.greeter", "other.greeter.wrpc.0.0.1.f", "default.greeter.wrpc.0.0.2.f", ""] {
            assert_eq!(Seen::read(&lattice, other), None, "{other}");
        }
    }

    #[test]
    fn no_name_widens_a_subject() {
        let lattice = "default".parse().unwrap();
        assert!(Target::of_key(&lattice, "a.b", None, "f").is_err());
        for bad in ["", "*", ">", "a.>", "a..b", ".a", "a.", "a b", "a\r\nPUB x 0", "ä", &"a".repeat(600)] {
            assert!(target(Some("a:b/c"), bad).is_err(), "{bad:?}");
            assert!(target(Some(bad), "f").is_err(), "{bad:?}");
        }
    }
}
