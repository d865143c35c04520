//! `lath migrate --from-1x`: the links and named configs that hosts of 1.x keep in `LATTICEDATA_*` and `CONFIGDATA_*`.
//!
//! The buckets are read and never written. What is taken over goes through the control interface, so it is checked as
//! any other, and what Lath has under the same name stays. What belongs to a manifest is left to it.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::kv;
use futures::TryStreamExt as _;
use lath_control_api::ErrorCode;
use lath_wasmcloud::subject::Control;
use lath_wasmcloud::{ComponentSpec, Link, NamedConfig, STANDING_HEADER};
use serde::Serialize;
use serde_json::Value;

use super::stored::{bucket, value};
use crate::app::Wadm;
use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::output::{Document, table};
use crate::wash::{Lattice, encode};

/// Longest wait for one answer: a change may be rolled out to what uses it.
const PATIENCE: Duration = Duration::from_secs(10);
/// What keys of specs begin with.
const SPEC: &str = "COMPONENT_";
/// What names of references to secrets begin with.
const SECRET: &str = "SECRET";

/// The document.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct LatticeReport {
    /// Configs, in order of names.
    configs: Vec<Taken>,
    /// Links, in order of their sources.
    links: Vec<Taken>,
}

#[derive(Debug, Serialize)]
struct Taken {
    /// The config's name; the ends of the link, and what it is for.
    name: String,
    result: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// It is done.
    Done,
    /// Lath has it already.
    Unchanged,
    /// It is somebody else's matter.
    Left,
    /// Lath does not take it.
    Refused,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Done => "taken over",
            Self::Unchanged => "unchanged",
            Self::Left => "left",
            Self::Refused => "refused",
        }
    }
}

/// What manifests have of their own: ids of components, and names that wadm gives to their configs.
#[derive(Debug, Default)]
struct OfManifests {
    components: BTreeSet<String>,
    configs: BTreeSet<String>,
}

/// Takes over what hosts of 1.x keep for this lattice.
pub(super) async fn take_over(call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let name = session.target.lattice.to_string();
    let (data, configs) = (format!("LATTICEDATA_{name}"), format!("CONFIGDATA_{name}"));
    let (data, configs) = (bucket(&session, &data).await?, bucket(&session, &configs).await?);
    if data.is_none() && configs.is_none() {
        let message = format!("hosts of 1.x have kept nothing for lattice `{name}` on this server");
        return Err(Failure::coded(ErrorCode::NotFound, message)
            .note(session.connected())
            .help("name the server with --server, or the lattice with --lattice"));
    }
    let manifests = of_manifests(&session).await?;
    let lattice = Lattice::over(session, PATIENCE)?;
    let mut report = LatticeReport::default();
    // Links name configs.
    if let Some(configs) = &configs {
        for key in keys(configs).await? {
            report.configs.push(take_config(&lattice, configs, key, &manifests).await?);
        }
    }
    if let Some(data) = &data {
        for key in keys(data).await?.into_iter().filter(|key| key.starts_with(SPEC)) {
            report.links.extend(take_links(&lattice, data, &key, &manifests).await?);
        }
    }
    let all = || report.configs.iter().chain(&report.links);
    let is_refused = all().any(|taken| taken.result == Verdict::Refused);
    let document = Document::new("LatticeReport", &report).names(all().map(|taken| taken.name.clone()));
    call.out.print(&document, |_wide| text(&report, call))?;
    Ok(if is_refused { Exit::Failed } else { Exit::Done })
}

async fn take_config(
    lattice: &Lattice,
    configs: &kv::Store,
    name: String,
    manifests: &OfManifests,
) -> Result<Taken, Failure> {
    if name.starts_with(SECRET) {
        return Ok(left(name, "a reference to a secret; manifests have those themselves"));
    }
    if manifests.configs.contains(&name) {
        return Ok(left(name, "wadm has made it of a manifest, which has the values itself"));
    }
    let values: NamedConfig = match value(configs, &name).await {
        Ok(Some(values)) => values,
        Ok(None) => return Ok(left(name, "it has just been deleted")),
        Err(failure) => return Ok(refused(name, failure.message)),
    };
    let ours = match lattice.ask::<NamedConfig>(Control::Config(&name), Vec::new()).await {
        Ok(reply) => reply.response,
        Err(failure) if failure.exit == Exit::Unreachable => return Err(failure),
        Err(failure) => return Ok(refused(name, failure.message)),
    };
    match ours {
        Some(ours) if ours == values => Ok(Taken { name, result: Verdict::Unchanged, message: None }),
        Some(_) => Ok(left(name, "Lath has other values under this name")),
        None => {
            let put = lattice.ask::<Value>(Control::PutConfig(&name), encode(&values)?).await;
            came_of(name, put.map(drop))
        }
    }
}

async fn take_links(
    lattice: &Lattice,
    data: &kv::Store,
    key: &str,
    manifests: &OfManifests,
) -> Result<Vec<Taken>, Failure> {
    let spec: ComponentSpec = match value(data, key).await {
        Ok(spec) => spec.unwrap_or_default(),
        Err(failure) => return Ok(vec![refused(key.to_owned(), failure.message)]),
    };
    let ours: Vec<Link> = lattice.ask(Control::Links, Vec::new()).await?.response.unwrap_or_default();
    let mut taken = Vec::new();
    for link in spec.links {
        let name = format!(
            "{} -> {} {}:{}/{} ({})",
            link.source_id,
            link.target,
            link.wit_namespace,
            link.wit_package,
            link.interfaces.join(","),
            link.name
        );
        taken.push(if manifests.components.contains(&link.source_id) {
            left(name, "it begins at a component of a manifest, which has its links itself")
        } else if ours.contains(&link) {
            Taken { name, result: Verdict::Unchanged, message: None }
        } else {
            let mut standing = HeaderMap::new();
            standing.insert(STANDING_HEADER, "1");
            let put = lattice.ask_with::<Value>(Control::PutLink, standing, encode(&link)?).await;
            came_of(name, put.map(drop))?
        });
    }
    Ok(taken)
}

fn left(name: String, why: &str) -> Taken {
    Taken { name, result: Verdict::Left, message: Some(why.to_owned()) }
}

fn refused(name: String, why: String) -> Taken {
    Taken { name, result: Verdict::Refused, message: Some(why) }
}

/// A refusal concerns one; when nobody answers any more, all ends.
fn came_of(name: String, put: Result<(), Failure>) -> Result<Taken, Failure> {
    match put {
        Ok(()) => Ok(Taken { name, result: Verdict::Done, message: None }),
        Err(failure) if failure.exit == Exit::Unreachable => Err(failure),
        Err(failure) => Ok(refused(name, failure.message)),
    }
}

/// All keys, in order.
async fn keys(bucket: &kv::Store) -> Result<BTreeSet<String>, Failure> {
    let failed = |cause: String| {
        let message = format!("the bucket `{}` cannot be read: {cause}", bucket.name);
        Failure::coded(ErrorCode::StoreUnavailable, message).help("see `lath doctor`")
    };
    let keys = bucket.keys().await.map_err(|error| failed(error.to_string()))?;
    keys.try_collect().await.map_err(|error| failed(error.to_string()))
}

/// What the newest versions of all manifests in the lattice have of their own.
async fn of_manifests(session: &Session) -> Result<OfManifests, Failure> {
    let wadm = Wadm::over(session.clone())?;
    let mut found = OfManifests::default();
    for model in wadm.list().await? {
        let text = serde_json::to_string(&wadm.get(&model.name, None).await?)
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let manifest: Value = serde_json::from_str(&text).unwrap_or_default();
        found.configs.extend(configs_of(&manifest).into_iter().map(|name| format!("{}-{name}", model.name)));
        if let Ok(loaded) = lath_manifests::load(text.as_bytes()) {
            found
                .components
                .extend(loaded.manifest.components.iter().map(|component| component.id.to_string()));
        }
    }
    Ok(found)
}

/// Names of configs that bring their values with them, wherever they stand in a manifest.
fn configs_of(manifest: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![manifest];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(fields) => {
                if let (Some(Value::String(name)), Some(Value::Object(_))) =
                    (fields.get("name"), fields.get("properties"))
                    && !fields.contains_key("type")
                {
                    found.insert(name.clone());
                }
                left.extend(fields.values());
            }
            Value::Array(items) => left.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}

fn text(report: &LatticeReport, call: &Call) -> String {
    let row = |kind: &str, taken: &Taken| {
        let message = taken.message.clone().unwrap_or_default();
        vec![kind.to_owned(), taken.name.clone(), taken.result.word().to_owned(), message]
    };
    let configs = report.configs.iter().map(|taken| row("config", taken));
    let rows: Vec<_> = configs.chain(report.links.iter().map(|taken| row("link", taken))).collect();
    if rows.is_empty() {
        return "hosts of 1.x keep no links and no configs for this lattice\n".to_owned();
    }
    table(call.out.headers, &["KIND", "NAME", "RESULT", ""], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_with_values_are_found_wherever_they_stand() {
        let manifest = serde_json::json!({ "spec": { "components": [{
            "name": "http", "type": "component",
            "properties": { "image": "x", "config": [{ "name": "words", "properties": { "a": "b" } }, { "name": "shared" }] },
            "traits": [{ "type": "link", "properties": {
                "name": "default", "source": { "config": [{ "name": "address", "properties": { "address": "x" } }] },
            } }],
        }] } });
        assert_eq!(configs_of(&manifest), ["address", "words"].map(str::to_owned).into());
    }
}
