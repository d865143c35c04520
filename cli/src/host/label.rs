//! `lath host label`: sets and removes labels of a host that runs. It keeps to them over restarts.

use std::collections::BTreeMap;

use clap::Args;
use lath_control_api::{HostChangeReply, LabelRequest, Labels};
use serde::Serialize;

use super::find::find;
use crate::call::Call;
use crate::failure::{Exit, Failure};
use crate::hosts::labels;
use crate::output::Document;

/// Arguments of `lath host label`.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// The host: its name, its id, or the beginning of its id
    host: String,
    /// KEY=VALUE sets a label, KEY- removes one
    #[arg(required = true, value_name = "KEY=VALUE|KEY-", value_parser = change)]
    labels: Vec<(String, Option<String>)>,
    /// Show what would be, change nothing
    #[arg(long)]
    dry_run: bool,
}

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LabelResult<'a> {
    host: &'a str,
    name: &'a str,
    unchanged: bool,
    dry_run: bool,
    labels: &'a Labels,
}

/// Sets and removes labels. All of them are taken, or none.
pub(super) async fn label(args: LabelArgs, call: &Call) -> Result<Exit, Failure> {
    let changes = once_each(args.labels)?;
    let session = call.session().await?;
    let found = find(&session, &args.host).await?;
    call.out.say(&super::drain::headline(&session.target.lattice, &found.name, "label", call.out.glyphs));
    let (after, unchanged) = if args.dry_run {
        let inventory = session.control.inventory(&found.host, session.patience).await;
        let now = inventory.map_err(|error| session.failed_host(error, &found.name))?.summary.labels;
        let after = with(&now, &changes);
        let unchanged = after == now;
        (after, unchanged)
    } else {
        let ask = LabelRequest { labels: changes };
        let reply = session.control.label(&found.host, &ask, session.patience).await;
        let reply: HostChangeReply = reply.map_err(|error| session.failed_host(error, &found.name))?;
        (reply.summary.labels, reply.unchanged)
    };
    let result = LabelResult {
        host: found.host.as_str(),
        name: &found.name,
        unchanged,
        dry_run: args.dry_run,
        labels: &after,
    };
    let document = Document::new("HostLabels", &result).names([found.name.clone()]);
    call.out.print(&document, |_wide| {
        let word = match (unchanged, args.dry_run) {
            (true, _) => "Unchanged: ",
            (false, true) => "Nothing was changed (dry run); it would be: ",
            (false, false) => "",
        };
        format!("{word}{}  {}\n", found.name, labels(&after))
    })?;
    Ok(Exit::Done)
}

/// `zone=a` sets, `zone-` removes.
fn change(text: &str) -> Result<(String, Option<String>), String> {
    let (key, value) = match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) => (key, Some(value)),
        (None, Some(key)) => (key, None),
        (None, None) => return Err("KEY=VALUE, such as zone=a, or KEY- to remove it".to_owned()),
    };
    Labels::check_one(key, value.unwrap_or_default()).map_err(|error| error.to_string())?;
    Ok((key.to_owned(), value.map(str::to_owned)))
}

fn once_each(changes: Vec<(String, Option<String>)>) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let mut each = BTreeMap::new();
    for (key, value) in changes {
        if each.insert(key.clone(), value).is_some() {
            let failure = Failure::new(Exit::Usage, format!("label `{key}` is given twice"));
            return Err(failure.help("give each label once"));
        }
    }
    Ok(each)
}

fn with(labels: &Labels, changes: &BTreeMap<String, Option<String>>) -> Labels {
    let mut labels = labels.clone();
    for (key, value) in changes {
        match value {
            Some(value) => drop(labels.0.insert(key.clone(), value.clone())),
            None => drop(labels.0.remove(key)),
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_set_and_removed() {
        let set = |text: &str| change(text).unwrap();
        assert_eq!(set("zone=a"), ("zone".into(), Some("a".into())));
        assert_eq!(set("zone="), ("zone".into(), Some(String::new())));
        assert_eq!(set("zone-"), ("zone".into(), None));
        assert_eq!(set("range=1-"), ("range".into(), Some("1-".into())));
        for wrong in ["zone", "=a", "-", "a\u{1b}=b"] {
            assert!(change(wrong).is_err(), "{wrong:?}");
        }
        let before =
            Labels([("zone".to_owned(), "a".to_owned()), ("disk".to_owned(), "ssd".to_owned())].into());
        let changes = once_each(vec![set("zone=b"), set("disk-"), set("gone-")]).unwrap();
        assert_eq!(with(&before, &changes), Labels([("zone".to_owned(), "b".to_owned())].into()));
        assert_eq!(once_each(vec![set("zone=b"), set("zone-")]).unwrap_err().exit, Exit::Usage);
    }
}
