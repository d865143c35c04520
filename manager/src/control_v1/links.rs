//! Links: put, deleted, told. What was started by hand is rolled out anew when a link that begins at it changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use lath_control_api::ComponentId;
use lath_wasmcloud::{DeleteLink, EventData, Link, LinkFailed};

use super::manifest::{Reference, is_secret};
use super::records::{Judged, Links};
use super::{Answer, Shared, claimed_by, component_id, data, done, failed, read};

/// Most links of one source, and most interfaces of a link: the bounds of manifests.
const MAX_LINKS: usize = lath_manifests::limits::MAX_LINKS;
const MAX_INTERFACES: usize = lath_manifests::limits::MAX_INTERFACES;
/// Longest name of a link or a part of an interface, in bytes.
const MAX_NAME: usize = lath_manifests::limits::MAX_NAME;

const TAKEN: &str = "link already exists with different target, consider deleting the existing link or using a different link name";

/// How a link stands in the bucket of 1.x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copy {
    /// It is to be written there.
    Missing,
    /// It comes from there.
    Standing,
}

impl Shared {
    pub(super) async fn put_link(self: Arc<Self>, payload: &[u8], copy: Copy) -> Answer {
        let link: Link = match read(payload, "put link command") {
            Ok(link) => link,
            Err(refusal) => return refusal,
        };
        match self.take_link(&link, copy).await {
            Ok(source) => {
                self.tell(EventData::LinkSet(link)).await;
                self.roll_all(BTreeSet::from([source])).await;
                done("successfully set link")
            }
            Err(Refused::Said(refusal)) => refusal,
            Err(Refused::Failed(error)) => {
                self.tell(EventData::LinkSetFailed(LinkFailed { link, error: error.clone() })).await;
                failed(error)
            }
        }
    }

    async fn take_link(&self, link: &Link, copy: Copy) -> Result<ComponentId, Refused> {
        let source = component_id(&link.source_id).map_err(Refused::Said)?;
        component_id(&link.target).map_err(Refused::Said)?;
        check(link).map_err(Refused::Failed)?;
        if let Some(app) = self.claimed(&source).await {
            return Err(Refused::Said(claimed_by(&source, &app)));
        }
        self.configs_exist(link).await.map_err(Refused::Failed)?;
        let put = self.kept.change_links(source.as_str(), |there| {
            let there = there.cloned().unwrap_or_default();
            match with(&there.links, link) {
                Ok(links) if links == there.links => Judged::Keep(Ok(links)),
                Ok(links) => Judged::Put(Links { links: links.clone() }, Ok(links)),
                Err(why) => Judged::Keep(Err(why)),
            }
        });
        let links = put.await.map_err(Refused::Failed)?.map_err(Refused::Failed)?;
        if copy == Copy::Missing {
            self.copy_links(&source, &links).await;
        }
        Ok(source)
    }

    /// Deletes the first link that fits. Its target and interfaces do not count, as in 1.x.
    pub(super) async fn delete_link(self: Arc<Self>, payload: &[u8]) -> Answer {
        let ask: DeleteLink = match read(payload, "delete link command") {
            Ok(ask) => ask,
            Err(refusal) => return refusal,
        };
        let source = match component_id(&ask.source_id) {
            Ok(source) => source,
            Err(refusal) => return refusal,
        };
        let deleted = self.kept.change_links(source.as_str(), |there| {
            let Some(there) = there else { return Judged::Keep(None) };
            let mut links = there.links.clone();
            let fits = links.iter().position(|link| is_asked(link, &ask));
            match fits.map(|at| links.remove(at)) {
                Some(gone) => Judged::Put(Links { links: links.clone() }, Some((Some(gone), links))),
                None => Judged::Keep(Some((None, links))),
            }
        });
        let (gone, links) = match deleted.await {
            Ok(Some(deleted)) => deleted,
            Ok(None) => return done("successfully deleted link (spec doesn't exist)"),
            Err(why) => return failed(why),
        };
        self.copy_links(&source, &links).await;
        let (target, interfaces) = gone.map(|link| (link.target, link.interfaces)).unzip();
        let was_there = target.is_some();
        let DeleteLink { source_id, name, wit_namespace, wit_package } = ask;
        let event =
            EventData::LinkDeleted { source_id, name, wit_namespace, wit_package, target, interfaces };
        self.tell(event).await;
        if was_there {
            self.roll_all(BTreeSet::from([source])).await;
        }
        done("successfully deleted link")
    }

    pub(super) async fn links(&self) -> Answer {
        match self.kept.everything().await {
            Ok(everything) => {
                data(everything.links.into_values().flat_map(|links| links.links).collect::<Vec<_>>())
            }
            Err(why) => failed(why),
        }
    }

    async fn configs_exist(&self, link: &Link) -> Result<(), String> {
        let mut missing = String::new();
        for name in link.source_config.iter().chain(&link.target_config) {
            let found = self.kept.config(name).await?;
            match (is_secret(name), found) {
                (false, Some(_)) => {}
                (false, None) => missing += &format!("Configuration {name} not found in config store. "),
                (true, None) => missing += &format!("Secret reference {name} not found in config store. "),
                (true, Some(found)) => {
                    if let Err(why) = Reference::read(name, &found.values) {
                        missing += &format!("{why}. ");
                    }
                }
            }
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("Failed to validate configuration and secrets. {missing}"))
        }
    }

    /// Copies links for readers of 1.x, with the image of what was started.
    pub(super) async fn copy_links(&self, source: &ComponentId, links: &[Link]) {
        let started = self.kept.started(source).await.ok().flatten();
        let image = started.as_ref().map(|started| started.value.image.as_str());
        self.mirror.put_links(source.as_str(), image, links).await;
    }
}

enum Refused {
    Said(Answer),
    /// The lattice hears of it, too.
    Failed(String),
}

/// The links with one more: in place of the same one, or after the others.
fn with(links: &[Link], link: &Link) -> Result<Vec<Link>, String> {
    let same_way = |other: &Link| {
        (&other.name, &other.wit_namespace, &other.wit_package)
            == (&link.name, &link.wit_namespace, &link.wit_package)
    };
    let shares = |other: &Link| other.interfaces.iter().any(|one| link.interfaces.contains(one));
    let mut next = links.to_vec();
    if next.iter().any(|other| same_way(other) && other.target != link.target && shares(other)) {
        return Err(TAKEN.to_owned());
    }
    match next.iter_mut().find(|other| same_way(other) && other.target == link.target) {
        Some(place) => *place = link.clone(),
        None => next.push(link.clone()),
    }
    if next.len() > MAX_LINKS {
        return Err(format!("{} has {MAX_LINKS} links, and no more are kept", link.source_id));
    }
    Ok(next)
}

fn is_asked(link: &Link, ask: &DeleteLink) -> bool {
    (&link.name, &link.wit_namespace, &link.wit_package) == (&ask.name, &ask.wit_namespace, &ask.wit_package)
}

fn check(link: &Link) -> Result<(), String> {
    let shown = |text: &str| text.chars().take(64).flat_map(char::escape_debug).collect::<String>();
    let parts = [&link.wit_namespace, &link.wit_package];
    if let Some(wrong) = parts.into_iter().chain(&link.interfaces).find(|name| !is_wit_name(name)) {
        return Err(format!("`{}` is no name of WIT", shown(wrong)));
    }
    if link.interfaces.is_empty() || link.interfaces.len() > MAX_INTERFACES {
        return Err(format!("a link has 1 to {MAX_INTERFACES} interfaces"));
    }
    let name = &link.name;
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("`{}` cannot be the name of a link", shown(name)));
    }
    if link.source_id == link.target {
        return Err(format!("the link of {} leads back to itself", link.target));
    }
    Ok(())
}

fn is_wit_name(text: &str) -> bool {
    text.len() <= MAX_NAME
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.split('-').all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str, name: &str, interfaces: &[&str]) -> Link {
        Link {
            source_id: "front".into(),
            target: target.into(),
            name: name.into(),
            wit_namespace: "wasi".into(),
            wit_package: "keyvalue".into(),
            interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
            source_config: Vec::new(),
            target_config: Vec::new(),
        }
    }

    #[test]
    fn a_link_replaces_its_like_and_takes_nothing_from_others() {
        let kv = link("kv", "default", &["store"]);
        let links = with(&[], &kv).unwrap();
        let wider = link("kv", "default", &["store", "atomics"]);
        assert_eq!(with(&links, &wider).unwrap(), [wider]);
        assert_eq!(with(&links, &link("other", "default", &["store"])).unwrap_err(), TAKEN);
        assert_eq!(with(&links, &link("other", "default", &["batch"])).unwrap().len(), 2);
        assert_eq!(with(&links, &link("other", "second", &["store"])).unwrap().len(), 2);
    }

    #[test]
    fn what_no_manifest_could_say_is_refused() {
        for wrong in [
            link("front", "default", &["store"]),
            link("kv", "", &["store"]),
            link("kv", "a b", &["store"]),
            link("kv", "default", &[]),
            link("kv", "default", &["*"]),
            link("kv", "default", &["store@0.1.0"]),
        ] {
            assert!(check(&wrong).is_err(), "{wrong:?}");
        }
        check(&link("kv", "default", &["incoming-handler"])).unwrap();
    }
}
