//! What a manifest says, each value with its place, before any rule looked across fields.
//!
//! Reading finds what is wrong with one value at a time: missing, unknown, of the wrong kind, out of bounds. What must
//! agree with something else is [`crate::validate`]'s. Old forms end here: later code sees the new ones only.

mod component;
mod grants;
mod instances;
mod limits;
mod link;
mod policy;
mod probe;
mod shapes;
mod traits;

use std::collections::BTreeSet;

use lath_control_api::egress::AllowedHost;
use lath_control_api::{InstancePolicy, Limits, Transport};

use crate::code;
use crate::diagnostic::Diagnostic;
use crate::document::{NodeId, Value};
use crate::manifest::{Kind, OtherTrait, Probe, RolloutPolicy};
use crate::read::{Object, Pair};
use crate::report::{At, Report, Spanned, shown};
use crate::rollout::Part;
use crate::suggest::closest;

pub(crate) use grants::DraftGrants;
#[cfg(test)]
pub(crate) use shapes::SHAPES;

/// What the one kind of manifest calls itself.
pub(crate) const API_VERSION: &str = "core.oam.dev/v1beta1";
/// The one kind there is.
pub(crate) const KIND: &str = "Application";

/// A manifest as it was written.
#[derive(Debug)]
pub(crate) struct Draft<'t> {
    pub(crate) name: Option<Spanned<&'t str>>,
    pub(crate) labels: Vec<Pair<'t>>,
    pub(crate) annotations: Vec<Pair<'t>>,
    /// The list of components, to point at.
    pub(crate) components_at: At,
    pub(crate) components: Vec<DraftComponent<'t>>,
    pub(crate) policies: Vec<DraftPolicy<'t>>,
}

/// A component as it was written.
#[derive(Debug)]
pub(crate) struct DraftComponent<'t> {
    /// Where to point for the component as a whole: its name, else its first key.
    pub(crate) at: At,
    pub(crate) name: Option<Spanned<&'t str>>,
    pub(crate) kind: Option<Kind>,
    pub(crate) image: Option<Spanned<&'t str>>,
    pub(crate) application: Option<Spanned<DraftShared<'t>>>,
    pub(crate) id: Option<Spanned<&'t str>>,
    pub(crate) config: Vec<DraftConfig<'t>>,
    pub(crate) secrets: Vec<DraftSecret<'t>>,
    pub(crate) scalers: Vec<DraftScaler<'t>>,
    pub(crate) links: Vec<DraftLink<'t>>,
    pub(crate) probes: Vec<Spanned<Option<Probe>>>,
    pub(crate) limits: Vec<Spanned<Option<Limits>>>,
    pub(crate) instances: Vec<Spanned<Option<InstancePolicy>>>,
    pub(crate) grants: Vec<Spanned<DraftGrants<'t>>>,
    pub(crate) other_traits: Vec<OtherTrait>,
}

/// A component of another app.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DraftShared<'t> {
    pub(crate) app: Option<Spanned<&'t str>>,
    pub(crate) component: Option<Spanned<&'t str>>,
}

/// A named configuration; it belongs to the app when it has properties.
#[derive(Debug, Clone)]
pub(crate) struct DraftConfig<'t> {
    pub(crate) name: Spanned<&'t str>,
    pub(crate) properties: Option<Vec<Pair<'t>>>,
}

/// A reference to a secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DraftSecret<'t> {
    pub(crate) name: Spanned<&'t str>,
    pub(crate) policy: Option<Spanned<&'t str>>,
    pub(crate) key: Option<Spanned<&'t str>>,
    pub(crate) field: Option<Spanned<&'t str>>,
    pub(crate) version: Option<Spanned<&'t str>>,
}

/// A `spreadscaler` or `daemonscaler`.
#[derive(Debug)]
pub(crate) struct DraftScaler<'t> {
    /// The trait's type.
    pub(crate) at: At,
    pub(crate) daemon: bool,
    pub(crate) instances: Option<u32>,
    pub(crate) spreads: Vec<DraftSpread<'t>>,
}

/// One rule of a scaler.
#[derive(Debug)]
pub(crate) struct DraftSpread<'t> {
    pub(crate) name: Option<Spanned<&'t str>>,
    pub(crate) requirements: Vec<Pair<'t>>,
    pub(crate) weight: Option<u32>,
}

/// A link, with the old forms turned into the new.
#[derive(Debug)]
pub(crate) struct DraftLink<'t> {
    /// The trait's type.
    pub(crate) at: At,
    pub(crate) name: Option<Spanned<&'t str>>,
    pub(crate) namespace: Option<Spanned<&'t str>>,
    pub(crate) package: Option<Spanned<&'t str>>,
    pub(crate) interfaces: Vec<Spanned<&'t str>>,
    pub(crate) target: Option<Spanned<&'t str>>,
    pub(crate) source_config: Vec<DraftConfig<'t>>,
    pub(crate) target_config: Vec<DraftConfig<'t>>,
    pub(crate) source_secrets: Vec<DraftSecret<'t>>,
    pub(crate) target_secrets: Vec<DraftSecret<'t>>,
    pub(crate) transport: Option<Spanned<Transport>>,
}

/// A policy; those of rollouts are read at once.
#[derive(Debug)]
pub(crate) struct DraftPolicy<'t> {
    /// Where to point for the policy as a whole.
    pub(crate) at: At,
    pub(crate) name: Option<Spanned<&'t str>>,
    pub(crate) kind: Option<Spanned<&'t str>>,
    pub(crate) properties: Vec<Pair<'t>>,
    pub(crate) rollout: Option<RolloutPolicy>,
    /// The app's own list, of a policy of grants.
    pub(crate) allowed_hosts: Option<BTreeSet<AllowedHost>>,
    /// The components that a rollout policy names, as written; `None` when it is for all of them. The place is that of
    /// the whole list: to find that of a name costs a walk through the text, and few are wrong.
    pub(crate) components: Option<Vec<Spanned<Part<'t>>>>,
}

/// Reads the whole document; `None` when it is no manifest at all, which the report then says.
pub(crate) fn read<'t>(report: &mut Report<'t>) -> Option<Draft<'t>> {
    let root = report.tree.root();
    if *report.tree.value(root) == Value::Null {
        let at = report.at(root);
        let diagnostic = Diagnostic::error(code::EMPTY, "the file holds no manifest");
        report.add(at, "", diagnostic.help(format!("a manifest begins with `apiVersion: {API_VERSION}`")));
        return None;
    }
    // What a later version may add is not known, so its fields are not judged by the rules of this one.
    if !supported_version(report, root) {
        return None;
    }
    let object = report.object(root, &shapes::MANIFEST)?;
    object.required(report, "apiVersion");
    if let Some(kind) = object.required(report, "kind") {
        read_kind(report, kind);
    }
    let (name, labels, annotations) =
        object.required(report, "metadata").map(|id| read_metadata(report, id)).unwrap_or_default();
    let mut draft = Draft {
        name,
        labels,
        annotations,
        components_at: object.at,
        components: Vec::new(),
        policies: Vec::new(),
    };
    if let Some(spec) = object.required(report, "spec") {
        read_spec(report, spec, &mut draft);
    }
    Some(draft)
}

fn supported_version(report: &mut Report<'_>, root: NodeId) -> bool {
    let tree = report.tree;
    let Value::Map(entries) = tree.value(root) else { return true };
    let Some((_, id)) = entries.iter().find(|(key, _)| &*key.text == "apiVersion") else { return true };
    if *tree.value(*id) == Value::Null {
        return true;
    }
    let Some(version) = report.text(*id) else { return false };
    if version.value == API_VERSION {
        return true;
    }
    let message = format!("the apiVersion `{}` is not supported", shown(version.value));
    let diagnostic = Diagnostic::error(code::UNSUPPORTED_KIND, message)
        .help(format!("write `apiVersion: {API_VERSION}`"))
        .note("a manifest of a later version needs a later manager; the rest of this one was not looked at");
    report.add(version.at, "", diagnostic);
    false
}

fn read_kind(report: &mut Report<'_>, id: NodeId) {
    let Some(kind) = report.text(id) else { return };
    if kind.value == KIND {
        return;
    }
    let message = format!("the kind `{}` is not supported", shown(kind.value));
    let help = match closest(kind.value, [KIND]) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write `kind: {KIND}`"),
    };
    report.add(kind.at, "", Diagnostic::error(code::UNSUPPORTED_KIND, message).help(help));
}

type Metadata<'t> = (Option<Spanned<&'t str>>, Vec<Pair<'t>>, Vec<Pair<'t>>);

fn read_metadata<'t>(report: &mut Report<'t>, id: NodeId) -> Metadata<'t> {
    let Some(object) = report.object(id, &shapes::METADATA) else { return Metadata::default() };
    let name = object.required(report, "name").and_then(|id| report.text(id));
    let labels = object.get(report, "labels").map(|id| report.pairs(id, "labels")).unwrap_or_default();
    let annotations =
        object.get(report, "annotations").map(|id| report.pairs(id, "annotations")).unwrap_or_default();
    (name, labels, annotations)
}

fn read_spec<'t>(report: &mut Report<'t>, id: NodeId, draft: &mut Draft<'t>) {
    let Some(object) = report.object(id, &shapes::SPEC) else { return };
    if let Some(components) = object.required(report, "components") {
        draft.components_at = object.key("components").unwrap_or(object.at);
        draft.components = component::read_all(report, components, draft.components_at);
    }
    if let Some(policies) = object.get(report, "policies") {
        draft.policies = policy::read_all(report, policies);
    }
}

/// The items of a list, unless there are more than `most`.
fn bounded_list<'t>(report: &mut Report<'t>, id: NodeId, what: &str, most: usize) -> &'t [NodeId] {
    let items = report.list(id, what);
    if items.len() <= most {
        return items;
    }
    let at = report.at(id);
    let message = format!("there are {} {what}, and at most {most} are allowed", items.len());
    report.add(at, "", Diagnostic::error(code::COUNT, message).help("split the app into several"));
    &[]
}

/// The named configurations in a field of `object`.
fn read_configs<'t>(report: &mut Report<'t>, object: &Object<'t>, field: &str) -> Vec<DraftConfig<'t>> {
    let Some(id) = object.get(report, field) else { return Vec::new() };
    let items = report.list(id, "configurations");
    items.iter().filter_map(|item| read_config(report, *item)).collect()
}

fn read_config<'t>(report: &mut Report<'t>, id: NodeId) -> Option<DraftConfig<'t>> {
    let object = report.object(id, &shapes::CONFIG)?;
    let name = object.required(report, "name").and_then(|id| report.text(id));
    let properties = object.get(report, "properties").map(|id| report.pairs(id, "properties"));
    Some(DraftConfig { name: name?, properties })
}

/// The references to secrets in the field `secrets` of `object`.
fn read_secrets<'t>(report: &mut Report<'t>, object: &Object<'t>) -> Vec<DraftSecret<'t>> {
    let Some(id) = object.get(report, "secrets") else { return Vec::new() };
    let items = report.list(id, "secrets");
    items.iter().filter_map(|item| read_secret(report, *item)).collect()
}

fn read_secret<'t>(report: &mut Report<'t>, id: NodeId) -> Option<DraftSecret<'t>> {
    let object = report.object(id, &shapes::SECRET)?;
    let name = object.required(report, "name").and_then(|id| report.text(id));
    let source =
        object.required(report, "properties").and_then(|id| report.object(id, &shapes::SECRET_SOURCE))?;
    let policy = source.required(report, "policy").and_then(|id| report.text(id));
    let key = source.required(report, "key").and_then(|id| report.text(id));
    let field = source.get(report, "field").and_then(|id| report.text(id));
    let version = source.get(report, "version").and_then(|id| report.text(id));
    Some(DraftSecret { name: name?, policy, key, field, version })
}

/// Says that an old form was read and which one replaces it.
fn deprecated(report: &mut Report<'_>, at: At, old: &str, new: &str) {
    let message = format!("{old} is an old form");
    report.add(at, "", Diagnostic::warning(code::DEPRECATED, message).help(format!("write {new}")));
}
