//! `lath hosts`: who takes part in the lattice.

use clap::Args;
use lath_control_api::Labels;
use lath_control_api::app::KnownHost;

use crate::call::Call;
use crate::failure::{Exit, Failure};
use crate::gather::{gather, known_hosts};
use crate::output::{Document, NOTHING, Output, table};
use crate::words;

/// Arguments of `lath hosts`.
#[derive(Debug, Args)]
pub(crate) struct HostsArgs {
    /// Only hosts with this label; may be given again
    #[arg(short = 'l', long = "selector", value_name = "KEY=VALUE", value_parser = label)]
    selector: Vec<(String, String)>,
}

/// Lists the hosts of the lattice.
pub(crate) async fn hosts(args: HostsArgs, call: &Call) -> Result<Exit, Failure> {
    let session = call.session().await?;
    let mut hosts = match known_hosts(&session).await? {
        Some(hosts) => hosts,
        None => {
            let gathered = gather(&session).await?;
            gathered.remarks().iter().for_each(|remark| call.out.say(&format!("warning: {remark}")));
            let answered = gathered.hosts.into_iter();
            answered.map(|host| KnownHost { summary: host.summary, silent_ms: 0, lost: false }).collect()
        }
    };
    hosts.retain(|host| matches(&host.summary.labels, &args.selector));
    if hosts.is_empty() {
        call.out
            .say(&format!("lattice {} has no such hosts; start one with: lath host", session.target.lattice));
    }
    let names = hosts.iter().map(|host| host.summary.name.clone());
    let body = serde_json::json!({ "hosts": hosts });
    let document = Document::new("HostList", &body).listing("Host", &hosts).names(names);
    call.out.print(&document, |wide| hosts_table(&hosts, &call.out, wide))?;
    Ok(Exit::Done)
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE, such as zone=a")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn matches(labels: &Labels, selector: &[(String, String)]) -> bool {
    selector.iter().all(|(key, value)| labels.0.get(key) == Some(value))
}

/// `zone=a,arm=1`.
pub(crate) fn labels(labels: &Labels) -> String {
    // Every host says what machine it is; people look for what tells hosts apart.
    let own = labels.0.iter().filter(|(key, _)| !key.starts_with(Labels::BUILTIN));
    let own: Vec<String> = own.map(|(key, value)| format!("{key}={value}")).collect();
    if own.is_empty() { NOTHING.into() } else { own.join(",") }
}

fn hosts_table(hosts: &[KnownHost], out: &Output, wide: bool) -> String {
    let mut titles = vec!["HOST", "STATE", "HEARD", "AGE", "LABELS", "VERSION"];
    if wide {
        titles.extend(["ID", "BOOT"]);
    }
    let now = words::now();
    let rows = hosts.iter().map(|host| {
        let summary = &host.summary;
        let state = if host.lost { "Lost" } else { words::host_state(summary.state) };
        let mut row = vec![
            summary.name.clone(),
            state.to_owned(),
            format!("{} ago", words::age(host.silent_ms)),
            words::since(summary.started, now),
            labels(&summary.labels),
            summary.version.clone(),
        ];
        if wide {
            row.extend([summary.host.to_string(), summary.boot.clone()]);
        }
        row
    });
    table(out.headers, &titles, rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_labels_of_a_selector_must_be_there() {
        let labels = Labels([("zone".to_owned(), "a".to_owned())].into());
        let selector = |text: &str| vec![label(text).unwrap()];
        assert!(matches(&labels, &[]));
        assert!(matches(&labels, &selector("zone=a")));
        assert!(!matches(&labels, &selector("zone=b")));
        assert!(label("zone").is_err());
    }
}
