//! `lath app`: the nine verbs of `wash app`, with its arguments and its JSON, for scripts and fingers that know them.
//!
//! They go through the API of wadm, as those of `wash` do, so both see the same. Two things are better: files that a
//! manifest names are put into the lattice's store, so the manager need not have them, and the manifest is kept as it
//! was written. Exit codes are those of `lath`.

mod args;
mod text;
mod wadm;

use std::path::{Path, PathBuf};
use std::time::Duration;

use lath_control_api::ErrorCode;
use lath_wasmcloud::wadm::{ModelSummary, StatusKind};
use serde_json::{Value, json};

pub(crate) use args::AppCommand;

use crate::call::Call;
use crate::deploy;
use crate::deploy::source::{Named, Ready};
use crate::failure::{Exit, Failure};
use crate::manifest_file::ManifestFile;
use crate::output::{clean, tell};
use args::{DeleteArgs, DeployArgs, UndeployArgs};
pub(crate) use wadm::Wadm;

/// What a verb has to say: to programs the fields of `wash`, to people a text.
struct Answer {
    fields: Value,
    text: String,
    exit: Exit,
}

impl Answer {
    fn new(fields: Value, text: String) -> Self {
        Self { fields, text, exit: Exit::Done }
    }
}

/// Carries out a verb. Failures are documents in the form of `wash` too.
pub(crate) async fn app(command: AppCommand, call: &Call) -> Result<Exit, Failure> {
    if let Some(pause) = command.watch() {
        return watch(&command, pause, call).await;
    }
    match carry_out(&command, call).await {
        Ok(answer) => print(&answer, call),
        Err(failure) if call.out.format.is_machine() => {
            tell(&clean(&failure.line()));
            call.out.write(&format!("{:#}\n", json!({ "success": false, "error": failure.message })))?;
            Ok(failure.exit)
        }
        Err(failure) => Err(failure),
    }
}

/// Shows it again and again, until Ctrl-C.
async fn watch(command: &AppCommand, pause: Duration, call: &Call) -> Result<Exit, Failure> {
    let mut left = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        print(&carry_out(command, call).await?, call)?;
        tokio::select! {
            _ = &mut left => return Ok(Exit::Interrupted),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn print(answer: &Answer, call: &Call) -> Result<Exit, Failure> {
    if call.out.format.is_machine() {
        let mut document = answer.fields.clone();
        if let Value::Object(fields) = &mut document {
            fields.insert("success".to_owned(), true.into());
        }
        call.out.write(&format!("{document:#}\n"))?;
    } else {
        call.out.write(&answer.text)?;
    }
    Ok(answer.exit)
}

async fn carry_out(command: &AppCommand, call: &Call) -> Result<Answer, Failure> {
    match command {
        AppCommand::List(_) => list(call).await,
        AppCommand::Get(args) => match &args.name {
            Some(name) => get(name, args.version.as_deref(), call).await,
            None => list(call).await,
        },
        AppCommand::Status(args) => status(&args.name, call).await,
        AppCommand::History(args) => history(&args.name, call).await,
        AppCommand::Put(args) => put(&args.source, call).await,
        AppCommand::Deploy(args) => deploy(args, call).await,
        AppCommand::Undeploy(args) => undeploy(args, call).await,
        AppCommand::Delete(args) => delete(args, call).await,
        AppCommand::Validate(args) => validate(&args.source, call),
    }
}

async fn list(call: &Call) -> Result<Answer, Failure> {
    let models = Wadm::open(call).await?.list().await?;
    let text = text::list(&models, &call.out);
    Ok(Answer::new(json!({ "applications": models }), text))
}

async fn get(name: &str, version: Option<&str>, call: &Call) -> Result<Answer, Failure> {
    let manifest = Wadm::open(call).await?.get(name, version).await?;
    let text = text::manifest(&manifest)?;
    Ok(Answer::new(json!({ "application": manifest }), text))
}

async fn status(name: &str, call: &Call) -> Result<Answer, Failure> {
    let wadm = Wadm::open(call).await?;
    let status = wadm.status(name).await?;
    // `wash` says in the head line what is deployed.
    let version = wadm.versions(name).await.ok().and_then(|all| all.into_iter().find(|known| known.deployed));
    let text = text::status(name, version.map(|known| known.version).as_deref(), &status, &call.out);
    Ok(Answer::new(json!({ "status": status }), text))
}

async fn history(name: &str, call: &Call) -> Result<Answer, Failure> {
    let versions = Wadm::open(call).await?.versions(name).await?;
    let text = text::history(&versions, &call.out);
    Ok(Answer::new(json!({ "revisions": versions }), text))
}

async fn put(source: &Path, call: &Call) -> Result<Answer, Failure> {
    let (name, version, _) = put_file(source, call).await?;
    let text = format!("Put application \"{name}\", version \"{version}\"\n");
    // `wash` says so, although nothing is deployed yet.
    Ok(Answer::new(json!({ "deployed": true, "model_name": name, "model_version": version }), text))
}

/// Checks a manifest, puts its files into the store, and the manifest after them.
async fn put_file(source: &Path, call: &Call) -> Result<(String, String, Wadm), Failure> {
    let ready = Ready::of(Named::File(source.to_owned()), call).await?;
    if !ready.warnings.is_empty() {
        call.out.say(&ready.file.drawn(&ready.warnings, call.out.glyphs.pick("·", "-")));
    }
    deploy::push(&ready).await?;
    let wadm = Wadm::over(ready.session.clone())?;
    let put = wadm.put(&ready.file.text(), &ready.pushed).await?;
    Ok((put.name, put.current_version, wadm))
}

async fn deploy(args: &DeployArgs, call: &Call) -> Result<Answer, Failure> {
    let (name, version) = match args.source.named() {
        Source::App(name) => {
            let deployed = Wadm::open(call).await?.deploy(&name, args.version.as_deref()).await?;
            (deployed.name, deployed.version.unwrap_or_default())
        }
        Source::File(path) => {
            if args.replace {
                replace(&path, call).await?;
            }
            let (name, version, wadm) = put_file(&path, call).await?;
            wadm.deploy(&name, Some(&version)).await?;
            (name, version)
        }
    };
    let text = format!("Deployed application \"{name}\", version \"{version}\"\n");
    Ok(Answer::new(json!({ "deployed": true, "model_name": name, "model_version": version }), text))
}

/// Takes the version of a file away before it is put anew. Where there is none there is nothing to do.
async fn replace(path: &Path, call: &Call) -> Result<(), Failure> {
    let file = ManifestFile::read(path)?;
    let loaded = file.load().map_err(|found| file.refused(&found, call.out.glyphs.pick("·", "-")))?;
    let Some(version) = loaded.manifest.version else { return Ok(()) };
    let wadm = Wadm::open(call).await?;
    if let Err(failure) = wadm.delete(loaded.manifest.name.as_str(), Some(&version)).await {
        tell(&format!("the version {version} could not be replaced: {}", failure.message));
    }
    Ok(())
}

async fn undeploy(args: &UndeployArgs, call: &Call) -> Result<Answer, Failure> {
    let wadm = Wadm::open(call).await?;
    let names = match &args.source {
        Some(source) => vec![app_of(source.named(), call)?],
        None => {
            let deployed = |model: &ModelSummary| model.deployed_version.is_some();
            wadm.list().await?.into_iter().filter(deployed).map(|model| model.name).collect()
        }
    };
    let mut said = Vec::new();
    for name in &names {
        wadm.undeploy(name).await?;
        said.push(format!("Undeployed application: {name}"));
    }
    let results = said.join("\n");
    let text = if results.is_empty() {
        "No applications found to undeploy\n".into()
    } else {
        format!("{results}\n")
    };
    Ok(Answer::new(json!({ "results": results, "undeployed_application_names": names }), text))
}

async fn delete(args: &DeleteArgs, call: &Call) -> Result<Answer, Failure> {
    let wadm = Wadm::open(call).await?;
    let Some(source) = &args.source else {
        let undeployed = |model: &ModelSummary| model.detailed_status.status.kind == StatusKind::Undeployed;
        let names: Vec<String> =
            wadm.list().await?.into_iter().filter(undeployed).map(|model| model.name).collect();
        for name in &names {
            wadm.delete(name, None).await?;
        }
        let text = names.iter().map(|name| format!("Deleted application: {name}\n")).collect();
        return Ok(Answer::new(json!({ "deleted": true, "deleted_application_names": names }), text));
    };
    let (name, version) = match source.named() {
        Source::App(name) => (name, args.version.clone()),
        Source::File(path) => {
            let (name, of_file) = named_in(&path, call)?;
            (name, args.version.clone().or(of_file))
        }
    };
    let deleted = wadm.delete(&name, version.as_deref()).await?;
    let what = version.map(|version| format!(", version \"{version}\"")).unwrap_or_default();
    let text = if deleted {
        format!("Deleted application \"{name}\"{what}\n")
    } else {
        format!("Already deleted application \"{name}\"{what}\n")
    };
    Ok(Answer::new(json!({ "deleted": deleted }), text))
}

fn validate(source: &Path, call: &Call) -> Result<Answer, Failure> {
    let file = ManifestFile::read(source)?;
    let (found, valid) = match file.load() {
        Ok(loaded) => (loaded.warnings, true),
        Err(found) => (found, false),
    };
    let of = |severity, level: &str| {
        let of_level = found.iter().filter(|one| one.severity == severity);
        of_level.map(|one| json!({ "level": level, "msg": one.to_string() })).collect::<Vec<_>>()
    };
    let errors = of(lath_manifests::Severity::Error, "Error");
    let warnings = of(lath_manifests::Severity::Warning, "Warning");
    let drawn = if found.is_empty() {
        String::new()
    } else {
        format!("{}\n", file.drawn(&found, call.out.glyphs.pick("·", "-")))
    };
    let text = if valid { format!("{drawn}manifest is valid\n") } else { drawn };
    // Unlike `wash`, the exit code says it too.
    let exit = if valid { Exit::Done } else { Exit::Invalid };
    Ok(Answer {
        exit,
        ..Answer::new(json!({ "valid": valid, "errors": errors, "warnings": warnings }), text)
    })
}

/// What an argument names that may be either.
enum Source {
    App(String),
    File(PathBuf),
}

/// The app that is named, or that the manifest of the named file is of.
fn app_of(source: Source, call: &Call) -> Result<String, Failure> {
    match source {
        Source::App(name) => Ok(name),
        Source::File(path) => named_in(&path, call).map(|(name, _)| name),
    }
}

/// The app and version that a manifest names.
fn named_in(path: &Path, call: &Call) -> Result<(String, Option<String>), Failure> {
    let file = ManifestFile::read(path)?;
    let loaded = file.load().map_err(|found| file.refused(&found, call.out.glyphs.pick("·", "-")))?;
    Ok((loaded.manifest.name.to_string(), loaded.manifest.version))
}

/// There is no app of that name, in the words of `wash`.
fn not_found(name: &str) -> Failure {
    Failure::coded(ErrorCode::NotFound, format!("Model not found: {name}"))
        .help("list the apps: lath app list")
}
