//! What the verbs of `lath app` show to people.

use lath_wasmcloud::wadm::{Manifest, ModelSummary, Status, StatusInfo, StatusKind, VersionInfo};

use crate::failure::{Exit, Failure};
use crate::output::{NOTHING, Output, clean, table};

pub(super) fn list(models: &[ModelSummary], out: &Output) -> String {
    let row = |model: &ModelSummary| {
        vec![
            model.name.clone(),
            model.version.clone(),
            model.deployed_version.clone().unwrap_or_else(|| NOTHING.to_owned()),
            word(model.detailed_status.status.kind).to_owned(),
            model.description.clone().unwrap_or_else(|| NOTHING.to_owned()),
        ]
    };
    let titles = ["NAME", "NEWEST VERSION", "DEPLOYED VERSION", "STATUS", "DESCRIPTION"];
    table(out.headers, &titles, models.iter().map(row).collect())
}

pub(super) fn manifest(manifest: &Manifest) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(manifest)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write YAML: {error}")))?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

pub(super) fn status(name: &str, version: Option<&str>, status: &Status, out: &Output) -> String {
    let version = version.map(|version| format!("@{version}")).unwrap_or_default();
    let head = clean(&format!("{name}{version} - {}", said(&status.status)));
    let rows: Vec<Vec<String>> = status
        .scalers
        .iter()
        .map(|scaler| vec![scaler.name.clone(), scaler.kind.clone(), said(&scaler.status)])
        .collect();
    if rows.is_empty() {
        return format!("{head}\n");
    }
    format!("{head}\n{}", table(out.headers, &["NAME", "KIND", "STATUS"], rows))
}

pub(super) fn history(versions: &[VersionInfo], out: &Output) -> String {
    let row = |known: &VersionInfo| {
        vec![known.version.clone(), if known.deployed { "deployed" } else { NOTHING }.to_owned()]
    };
    table(out.headers, &["VERSION", "DEPLOYED"], versions.iter().map(row).collect())
}

fn said(info: &StatusInfo) -> String {
    if info.message.is_empty() {
        return word(info.kind).to_owned();
    }
    format!("{}: {}", word(info.kind), info.message)
}

const fn word(kind: StatusKind) -> &'static str {
    match kind {
        StatusKind::Waiting => "Waiting",
        StatusKind::Undeployed => "Undeployed",
        StatusKind::Reconciling => "Reconciling",
        StatusKind::Deployed => "Deployed",
        StatusKind::Failed => "Failed",
        StatusKind::Unhealthy => "Unhealthy",
    }
}
