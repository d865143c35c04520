//! `lath diff`: what two revisions of an app differ in, by meaning, or line by line in their manifests.
//!
//! Differences by meaning are the manager's; the text of manifests is compared here.

use clap::Args;
use lath_control_api::app::{DiffRequest, RevisionDiff, RevisionRequest, RevisionShown};
use lath_control_api::{AppName, AppVerb, ErrorCode, Revision};
use similar::TextDiff;

use crate::call::Call;
use crate::connect::Session;
use crate::differences;
use crate::failure::{Exit, Failure};
use crate::near;
use crate::output::{Document, Glyphs, clean};
use crate::reference::RevisionName;

/// Lines around a difference that are shown with it.
const CONTEXT: usize = 3;

/// Arguments of `lath diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The app
    app: AppName,
    /// The older side, by number or tag
    #[arg(value_name = "REV")]
    from: RevisionName,
    /// The newer side; the deployed revision if not given
    #[arg(value_name = "REV")]
    to: Option<RevisionName>,
    /// Compare the manifests line by line
    #[arg(long)]
    manifest: bool,
    /// The exit code tells whether there are differences: 20 when there are
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Compares two revisions.
pub(crate) async fn diff(args: DiffArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let from = args.from.number(&session, &args.app).await?;
    let to = match &args.to {
        Some(name) => name.number(&session, &args.app).await?,
        None => deployed(&session, &args.app).await?,
    };
    let differs = if args.manifest {
        let [old, new] = [shown(&session, &args.app, from).await?, shown(&session, &args.app, to).await?];
        print_text(&old, &new, call)?
    } else {
        let ask = DiffRequest { app: args.app.clone(), from, to };
        let found: RevisionDiff = match session.ask(AppVerb::Diff, &ask).await {
            Ok(found) => found,
            Err(failure) => return Err(near::revision(&session, &args.app, failure).await),
        };
        print(&found, call)?
    };
    Ok(if args.detailed_exitcode && differs { Exit::Changes } else { Exit::Done })
}

async fn deployed(session: &Session, app: &AppName) -> Result<Revision, Failure> {
    let shown = crate::rollout::status(session, app).await?;
    shown.revision.ok_or_else(|| {
        Failure::coded(
            ErrorCode::NotFound,
            format!("`{app}` is stopped, so there is no deployed revision to compare with"),
        )
        .help(format!("name a second revision: lath history {app}"))
    })
}

async fn shown(session: &Session, app: &AppName, revision: Revision) -> Result<RevisionShown, Failure> {
    let ask = RevisionRequest { app: app.clone(), revision: Some(revision) };
    match session.ask(AppVerb::Show, &ask).await {
        Ok(shown) => Ok(shown),
        Err(failure) => Err(near::revision(session, app, failure).await),
    }
}

/// Prints differences by meaning; true when there are any.
fn print(found: &RevisionDiff, call: &Call) -> Result<bool, Failure> {
    let document = Document::new("RevisionDiff", found).listing("Difference", &found.changes);
    let names = found.changes.iter().map(|change| match &change.component {
        Some(component) => format!("{component}/{}", change.what),
        None => change.what.clone(),
    });
    let document = document.names(names);
    call.out.print(&document, |_wide| text(found, call.out.glyphs))?;
    Ok(!found.changes.is_empty())
}

fn text(found: &RevisionDiff, glyphs: Glyphs) -> String {
    if found.changes.is_empty() {
        return format!("Revisions {} and {} of {} are the same\n", found.from, found.to, found.app);
    }
    let arrow = glyphs.pick("→", "->");
    let head = format!("{}  revision {} {arrow} {}\n", found.app, found.from, found.to);
    let lines = differences::lines(&found.changes, glyphs);
    head + &lines.iter().map(|line| format!("  {line}\n")).collect::<String>()
}

/// Prints the manifests' differences, in the form that `patch` reads; true when there are any.
fn print_text(old: &RevisionShown, new: &RevisionShown, call: &Call) -> Result<bool, Failure> {
    let unified = unified(old, new);
    let body = serde_json::json!({
        "app": old.app, "from": old.revision, "to": new.revision, "unified": unified,
    });
    let document =
        Document::new("ManifestDiff", &body).names((!unified.is_empty()).then(|| old.app.to_string()));
    call.out.print(&document, |_wide| match unified.as_str() {
        "" => format!("The manifests of revisions {} and {} are the same\n", old.revision, new.revision),
        unified => {
            unified.split_inclusive('\n').map(|line| clean(line.trim_end_matches('\n')) + "\n").collect()
        }
    })?;
    Ok(!unified.is_empty())
}

fn unified(old: &RevisionShown, new: &RevisionShown) -> String {
    let name = |shown: &RevisionShown| format!("{}@{}", shown.app, shown.revision);
    let diff = TextDiff::from_lines(&old.manifest, &new.manifest);
    diff.unified_diff().context_radius(CONTEXT).header(&name(old), &name(new)).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lath_control_api::app::Cause;
    use lath_control_api::plan::Difference;
    use lath_control_api::{Digest, Timestamp};

    use super::*;

    fn shown(revision: u64, manifest: &str) -> RevisionShown {
        RevisionShown {
            app: "shop".parse().unwrap(),
            revision: Revision(revision),
            manifest: manifest.into(),
            images: BTreeMap::new(),
            configs: BTreeMap::new(),
            content: Digest::of(manifest.as_bytes()),
            scale: BTreeMap::new(),
            repeats: None,
            created: Timestamp(0),
            cause: Cause::default(),
            tags: Vec::new(),
            completed: true,
            failed: None,
        }
    }

    #[test]
    fn manifests_are_compared_line_by_line() {
        let lines = |text: &str| format!("a\nb\nc\nd\n{text}\ne\nf\ng\nh\n");
        let found = unified(&shown(6, &lines("image: 1")), &shown(7, &lines("image: 2")));
        insta::assert_snapshot!(found, @r"
        --- shop@6
        +++ shop@7
        @@ -2,7 +2,7 @@
         b
         c
         d
        -image: 1
        +image: 2
         e
         f
         g
        ");
        assert_eq!(unified(&shown(6, "same\n"), &shown(7, "same\n")), "");
    }

    #[test]
    fn differences_for_people() {
        let change = Difference {
            component: Some("cart".parse().unwrap()),
            what: "instances".into(),
            before: Some("2".into()),
            after: Some("3".into()),
        };
        let found = RevisionDiff {
            app: "shop".parse().unwrap(),
            from: Revision(6),
            to: Revision(7),
            changes: vec![change],
        };
        insta::assert_snapshot!(text(&found, Glyphs::Unicode), @r"
        shop  revision 6 → 7
          ~ component cart
              instances   2 → 3
        ");
        let same = RevisionDiff { changes: Vec::new(), ..found };
        insta::assert_snapshot!(text(&same, Glyphs::Ascii), @"Revisions 6 and 7 of shop are the same");
    }
}
