//! `lath migrate --from-wadm`: the apps that wadm keeps, version for version in the order in which they were put.
//!
//! The buckets are read and never written. What is taken over goes through the API of wadm, so a version that is there
//! already stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream::kv;
use lath_control_api::ErrorCode;
use lath_wasmcloud::wadm::{StoredComponent, StoredHost, StoredModel, StoredProvider};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::order::{owners, owners_first};
use crate::app::Wadm;
use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::output::{Document, table};

/// Bucket of manifests, when nothing else is said.
pub(super) const MANIFESTS: &str = "wadm_manifests";
/// Bucket of what wadm has seen.
pub(super) const STATE: &str = "wadm_state";
/// Time for one request to the store.
const PATIENCE: Duration = Duration::from_secs(5);

/// Names of wadm's buckets.
pub(super) struct Buckets {
    pub(super) manifests: String,
    pub(super) state: String,
}

/// The document.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct MigrationReport {
    /// Apps, in order of names.
    apps: Vec<App>,
    /// What wadm has last seen of the lattice, of which nothing is taken over: hosts are asked themselves.
    seen: Seen,
}

#[derive(Debug, Default, Serialize)]
struct Seen {
    hosts: usize,
    components: usize,
    providers: usize,
}

#[derive(Debug, Serialize)]
struct App {
    app: String,
    versions: Vec<Version>,
    /// What wadm has deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployed: Option<String>,
    /// What came of deploying it, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    deploy: Option<Taken>,
    /// Why nothing of it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Version {
    version: String,
    #[serde(flatten)]
    taken: Taken,
}

#[derive(Debug, Serialize)]
struct Taken {
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
    /// It was so before.
    Unchanged,
    /// Lath does not take it.
    Refused,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Done => "taken over",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

impl Taken {
    fn of<T>(result: Result<T, Failure>) -> Self {
        match result {
            Ok(_) => Self { result: Verdict::Done, message: None },
            Err(failure) if failure.message.contains("already exists") => {
                Self { result: Verdict::Unchanged, message: None }
            }
            Err(failure) => Self { result: Verdict::Refused, message: Some(failure.message) },
        }
    }

    fn is_refused(&self) -> bool {
        self.result == Verdict::Refused
    }
}

/// Takes over what wadm keeps for this lattice.
pub(super) async fn take_over(buckets: &Buckets, deploy: bool, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let lattice = session.target.lattice.to_string();
    let manifests = bucket(&session, &buckets.manifests).await?.ok_or_else(|| {
        let message = format!("there is no bucket `{}` on this server", buckets.manifests);
        Failure::coded(ErrorCode::NotFound, message)
            .note(session.connected())
            .help("wadm keeps its apps where it runs; name its server with --server, or its bucket with --manifest-bucket")
    })?;
    let names: Vec<String> = value(&manifests, &lattice).await?.unwrap_or_default();
    let wadm = Wadm::over(session.clone())?;
    let mut report =
        MigrationReport { seen: seen(&session, &buckets.state, &lattice).await?, ..Default::default() };
    let mut takes_of = BTreeMap::new();
    for name in names {
        let (app, owners) = take_app(&wadm, &manifests, &lattice, name).await?;
        takes_of.insert(app.app.clone(), owners);
        report.apps.push(app);
    }
    for name in owners_first(&takes_of).iter().filter(|_| deploy) {
        let Some(app) = report.apps.iter_mut().find(|app| app.app == *name) else { continue };
        if let Some(version) = &app.deployed {
            app.deploy = Some(Taken::of(wadm.deploy(&app.app, Some(version)).await));
        }
    }
    report.apps.sort_by(|a, b| a.app.cmp(&b.app));
    let failed = |app: &App| {
        app.problem.is_some()
            || app.versions.iter().any(|version| version.taken.is_refused())
            || app.deploy.as_ref().is_some_and(Taken::is_refused)
    };
    let exit = if report.apps.iter().any(failed) { Exit::Failed } else { Exit::Done };
    let document = Document::new("MigrationReport", &report)
        .listing("MigratedApp", &report.apps)
        .names(report.apps.iter().map(|app| app.app.clone()));
    call.out.print(&document, |_wide| text(&report, call))?;
    Ok(exit)
}

/// Takes over all versions of an app; with it, of which apps that takes components which wadm has deployed.
async fn take_app(
    wadm: &Wadm,
    manifests: &kv::Store,
    lattice: &str,
    name: String,
) -> Result<(App, BTreeSet<String>), Failure> {
    let mut app = App { app: name, versions: Vec::new(), deployed: None, deploy: None, problem: None };
    let stored: StoredModel = match value(manifests, &format!("{lattice}-{}", app.app)).await {
        Ok(Some(stored)) => stored,
        Ok(None) => {
            app.problem = Some("wadm lists it and keeps no manifest of it".to_owned());
            return Ok((app, BTreeSet::new()));
        }
        // One that cannot be read concerns nobody else.
        Err(failure) => {
            app.problem = Some(failure.message);
            return Ok((app, BTreeSet::new()));
        }
    };
    for (version, manifest) in &stored.manifests.0 {
        // The key of app `b-c` in lattice `a` is that of app `c` in lattice `a-b`.
        let named = manifest.pointer("/metadata/name").and_then(|name| name.as_str());
        if named != Some(app.app.as_str()) {
            app.problem = Some(format!("the manifest under its key is of `{}`", named.unwrap_or_default()));
            return Ok((app, BTreeSet::new()));
        }
        let put = wadm.put(&manifest.to_string(), &BTreeMap::new()).await;
        app.versions.push(Version { version: version.clone(), taken: Taken::of(put) });
    }
    app.deployed = stored.deployed_version;
    let mut versions = stored.manifests.0.iter();
    let deployed = versions.find(|(version, _)| Some(version) == app.deployed.as_ref());
    let owners = deployed.map(|(_, manifest)| owners(manifest)).unwrap_or_default();
    Ok((app, owners))
}

/// How much wadm has seen of the lattice.
async fn seen(session: &Session, name: &str, lattice: &str) -> Result<Seen, Failure> {
    let Some(state) = bucket(session, name).await? else { return Ok(Seen::default()) };
    let hosts: Option<BTreeMap<String, StoredHost>> = value(&state, &format!("host_{lattice}")).await?;
    let components: Option<BTreeMap<String, StoredComponent>> =
        value(&state, &format!("component_{lattice}")).await?;
    let providers: Option<BTreeMap<String, StoredProvider>> =
        value(&state, &format!("provider_{lattice}")).await?;
    Ok(Seen {
        hosts: hosts.map_or(0, |all| all.len()),
        components: components.map_or(0, |all| all.len()),
        providers: providers.map_or(0, |all| all.len()),
    })
}

/// A bucket that is there, without making one.
pub(super) async fn bucket(session: &Session, name: &str) -> Result<Option<kv::Store>, Failure> {
    let jetstream = session.control.connection().jetstream(PATIENCE);
    match jetstream.get_key_value(name).await {
        Ok(bucket) => Ok(Some(bucket)),
        Err(error) if error.to_string().contains("not found") => Ok(None),
        Err(error) => {
            let of_stream = jetstream.get_stream(format!("KV_{name}")).await;
            if of_stream.is_err_and(|error| error.to_string().contains("not found")) {
                return Ok(None);
            }
            let message = format!("the bucket `{name}` cannot be read: {error}");
            Err(Failure::coded(ErrorCode::StoreUnavailable, message).help("see `lath doctor`"))
        }
    }
}

pub(super) async fn value<T: DeserializeOwned>(bucket: &kv::Store, key: &str) -> Result<Option<T>, Failure> {
    let failed = |cause: String| {
        let message = format!("the key `{key}` of the bucket `{}` cannot be read: {cause}", bucket.name);
        Failure::coded(ErrorCode::StoreUnavailable, message)
    };
    let Some(bytes) = bucket.get(key).await.map_err(|error| failed(error.to_string()))? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.to_string()))
}

fn text(report: &MigrationReport, call: &Call) -> String {
    let mut rows = Vec::new();
    for app in &report.apps {
        for version in &app.versions {
            let deployed = Some(&version.version) == app.deployed.as_ref();
            let by_wadm = if deployed { "deployed by wadm" } else { "" };
            let now = app.deploy.as_ref().filter(|_| deployed).map(|taken| match taken.result {
                Verdict::Refused => format!("not deployed: {}", taken.message.as_deref().unwrap_or_default()),
                Verdict::Done | Verdict::Unchanged => "deployed".to_owned(),
            });
            let said = version.taken.message.clone().or(now).unwrap_or_else(|| by_wadm.to_owned());
            let result = version.taken.result.word().to_owned();
            rows.push(vec![app.app.clone(), version.version.clone(), result, said]);
        }
        if let Some(problem) = &app.problem {
            rows.push(vec![
                app.app.clone(),
                String::new(),
                Verdict::Refused.word().to_owned(),
                problem.clone(),
            ]);
        }
    }
    let Seen { hosts, components, providers } = report.seen;
    let seen = format!(
        "wadm has last seen {hosts} hosts, {components} components and {providers} providers; Lath asks hosts itself\n"
    );
    if rows.is_empty() {
        return format!("wadm keeps no apps for this lattice\n{seen}");
    }
    format!("{}{seen}", table(call.out.headers, &["APP", "VERSION", "RESULT", ""], rows))
}
