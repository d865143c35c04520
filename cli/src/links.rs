//! `lath links`: who calls whom, by app.
//!
//! Links stand in the deployed revisions' manifests, so that is what is read; hosts are not asked.

use clap::Args;
use lath_control_api::app::{AppList, AppStatus, ListRequest};
use lath_control_api::subject::revision_key;
use lath_control_api::{AppName, AppVerb, Bucket, ComponentId, ComponentName, ErrorCode, LinkName, Revision};
use lath_control_api_client::{BucketOptions, TypedBucket};
use lath_manager_planner::RevisionRecord;
use lath_manifests::Manifest;
use serde::Serialize;

use crate::call::Call;
use crate::connect::Session;
use crate::failure::{Exit, Failure};
use crate::near;
use crate::output::{Document, table};

/// Arguments of `lath links`.
#[derive(Debug, Args)]
pub(crate) struct LinksArgs {
    /// Only this app
    app: Option<AppName>,
}

/// One link of a deployed revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    app: AppName,
    revision: Revision,
    source: ComponentName,
    name: LinkName,
    /// `namespace:package`.
    package: String,
    interfaces: Vec<String>,
    target: ComponentName,
}

/// Lists the links of deployed apps.
pub(crate) async fn links(args: LinksArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let list: AppList = session.ask(AppVerb::List, &ListRequest {}).await?;
    let apps: Vec<&AppStatus> =
        list.apps.iter().filter(|app| args.app.as_ref().is_none_or(|only| app.app == *only)).collect();
    if let (Some(app), true) = (&args.app, apps.is_empty()) {
        let names: Vec<&str> = list.apps.iter().map(|app| app.app.as_str()).collect();
        let failure = Failure::coded(ErrorCode::NotFound, format!("there is no app `{app}`"));
        return Err(near::instead(failure, "apps", app.as_str(), &names, "lath apps"));
    }
    let deployed: Vec<(&AppName, Revision)> =
        apps.into_iter().filter_map(|app| Some((&app.app, app.revision?))).collect();
    let links = read(&session, &deployed).await?;
    let names = links.iter().map(|link| format!("{}/{}", link.app, link.source));
    let body = serde_json::json!({ "links": links });
    let document = Document::new("LinkList", &body).listing("Link", &links).names(names);
    call.out.print(&document, |_wide| {
        let rows = links.iter().map(row).collect();
        table(call.out.headers, &["APP", "REV", "SOURCE", "INTERFACES", "TARGET", "NAME"], rows)
    })?;
    Ok(Exit::Done)
}

/// The two ends of each link of deployed apps, source first, by the ids under which they are called.
pub(crate) async fn ends(session: &Session) -> Result<Vec<(ComponentId, ComponentId)>, Failure> {
    let list: AppList = session.ask(AppVerb::List, &ListRequest {}).await?;
    let deployed: Vec<(&AppName, Revision)> =
        list.apps.iter().filter_map(|app| Some((&app.app, app.revision?))).collect();
    let mut ends = Vec::new();
    for (_, manifest) in manifests(session, &deployed).await? {
        let id = |name: &ComponentName| {
            let found = manifest.components.iter().find(|component| component.name == *name);
            found.map(|component| component.id.clone())
        };
        for source in &manifest.components {
            let targets = source.links.iter().filter_map(|link| id(&link.target));
            ends.extend(targets.map(|target| (source.id.clone(), target)));
        }
    }
    Ok(ends)
}

async fn read(session: &Session, deployed: &[(&AppName, Revision)]) -> Result<Vec<Link>, Failure> {
    let manifests = manifests(session, deployed).await?;
    Ok(manifests.iter().flat_map(|(revision, manifest)| of_manifest(manifest, *revision)).collect())
}

async fn manifests(
    session: &Session,
    deployed: &[(&AppName, Revision)],
) -> Result<Vec<(Revision, Manifest)>, Failure> {
    if deployed.is_empty() {
        return Ok(Vec::new());
    }
    let name = session.control.subjects().bucket(Bucket::Revisions);
    let failed = |cause: String| Failure::coded(ErrorCode::StoreUnavailable, cause).help("see `lath doctor`");
    let options = BucketOptions { timeout: session.patience, ..BucketOptions::default() };
    let bucket = TypedBucket::<RevisionRecord>::open(session.control.connection(), &name, options);
    let bucket = bucket.await.map_err(|error| failed(error.to_string()))?;
    let mut manifests = Vec::new();
    for (app, revision) in deployed {
        let stored =
            bucket.get(&revision_key(app, *revision)).await.map_err(|error| failed(error.to_string()))?;
        let Some(stored) = stored else {
            return Err(failed(format!("revision {revision} of app `{app}` is not in {name}")));
        };
        let loaded = lath_manifests::load(stored.value.manifest.as_bytes());
        let loaded = loaded.map_err(|_found| {
            failed(format!(
                "the manifest of revision {revision} of app `{app}` is not valid for this version of lath"
            ))
        })?;
        manifests.push((*revision, loaded.manifest));
    }
    Ok(manifests)
}

fn of_manifest(manifest: &Manifest, revision: Revision) -> Vec<Link> {
    let links =
        manifest.components.iter().flat_map(|source| source.links.iter().map(move |link| (source, link)));
    links
        .map(|(source, link)| Link {
            app: manifest.name.clone(),
            revision,
            source: source.name.clone(),
            name: link.name.clone(),
            package: format!("{}:{}", link.namespace, link.package),
            interfaces: link.interfaces.clone(),
            target: link.target.clone(),
        })
        .collect()
}

fn row(link: &Link) -> Vec<String> {
    vec![
        link.app.to_string(),
        link.revision.to_string(),
        link.source.to_string(),
        format!("{}/{}", link.package, link.interfaces.join(",")),
        link.target.to_string(),
        link.name.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_those_of_the_manifest() {
        let yaml = "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: shop, annotations: {}}\nspec:\n  components:\n    - name: http\n      type: capability\n      properties: {image: 'builtin://http-server'}\n      traits:\n        - type: link\n          properties: {namespace: wasi, package: http, interfaces: [incoming-handler], target: {name: cart}}\n    - name: cart\n      type: component\n      properties: {image: 'file://cart.wasm'}\n";
        let manifest = lath_manifests::load(yaml.as_bytes()).unwrap().manifest;
        let links = of_manifest(&manifest, Revision(3));
        let rows: Vec<Vec<String>> = links.iter().map(row).collect();
        assert_eq!(rows, [["shop", "3", "http", "wasi:http/incoming-handler", "cart", "default"]]);
    }
}
