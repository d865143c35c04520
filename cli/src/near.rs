//! What a name that is not there was probably meant to be, for failures.
//!
//! The manager says that something is not there; what is there is asked for only then. A list that cannot be had
//! leaves the failure as it was.

use lath_control_api::app::{AppList, AppRequest, Cause, History, ListRequest};
use lath_control_api::{AppName, AppVerb, ErrorCode};

use crate::connect::Session;
use crate::failure::Failure;

/// Most names that a failure lists.
const LISTED: usize = 8;

/// The candidate nearest to `word`, if one is near enough to be a typing error. The first of equals wins.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let word = plain(word);
    let bound = match word.chars().count() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    let distances =
        candidates.into_iter().map(|name| (strsim::damerau_levenshtein(&word, &plain(name)), name));
    distances
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Whether a failure says that something is not there.
pub(crate) fn is_absent(failure: &Failure) -> bool {
    failure.code.as_deref() == Some(ErrorCode::NotFound.as_str())
}

/// The app whose name is nearest to one that is not there.
pub(crate) async fn nearest_app(session: &Session, app: &AppName) -> Option<String> {
    let list = session.ask::<_, AppList>(AppVerb::List, &ListRequest {}).await.ok()?;
    closest(app.as_str(), list.apps.iter().map(|app| app.app.as_str())).map(str::to_owned)
}

/// A failure of a request about `app`: when the app is not there, with the names of apps that are.
pub(crate) async fn app(session: &Session, app: &AppName, failure: Failure) -> Failure {
    if !is_absent(&failure) {
        return failure;
    }
    let Ok(list) = session.ask::<_, AppList>(AppVerb::List, &ListRequest {}).await else { return failure };
    let names: Vec<&str> = list.apps.iter().map(|app| app.app.as_str()).collect();
    if names.contains(&app.as_str()) {
        failure
    } else {
        instead(failure, "apps", app.as_str(), &names, "lath apps")
    }
}

/// A failure of a request about a revision of `app`: with what there is, the app or its revisions.
pub(crate) async fn revision(session: &Session, app: &AppName, failure: Failure) -> Failure {
    if !is_absent(&failure) {
        return failure;
    }
    let failure = self::app(session, app, failure).await;
    match history(session, app).await {
        Ok(history) => known_revisions(failure, &history),
        Err(_) => failure,
    }
}

/// The failure with the revisions that the history still knows.
fn known_revisions(failure: Failure, history: &History) -> Failure {
    let mut numbers: Vec<u64> =
        history.entries.iter().filter_map(|entry| entry.revision).map(|revision| revision.0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let newest: Vec<String> = numbers.iter().rev().take(LISTED).map(ToString::to_string).collect();
    let failure = if newest.is_empty() {
        failure
    } else {
        failure.note(format!("newest revisions of `{}`: {}", history.app, newest.join(", ")))
    };
    if failure.help.is_some() { failure } else { failure.help(format!("lath history {}", history.app)) }
}

/// The changes and tags of an app.
pub(crate) async fn history(session: &Session, app: &AppName) -> Result<History, Failure> {
    let ask = AppRequest { app: app.clone(), cause: Cause::default(), dry_run: false };
    session.ask(AppVerb::History, &ask).await
}

/// The failure with the nearest of `names`, else with all of them if they are few.
pub(crate) fn instead(failure: Failure, what: &str, word: &str, names: &[&str], list: &str) -> Failure {
    if let Some(near) = closest(word, names.iter().copied()) {
        return failure.help(format!("did you mean `{near}`?"));
    }
    let failure = match names.len() {
        0 => failure.note(format!("there are no {what}")),
        1..=LISTED => failure.note(format!("{what}: {}", names.join(", "))),
        _ => failure,
    };
    failure.help(format!("list them: {list}"))
}

#[cfg(test)]
mod tests {
    use lath_control_api::Generation;
    use lath_control_api::app::{ChangeKind, HistoryEntry};
    use lath_control_api::{Revision, Timestamp};

    use super::*;

    fn absent() -> Failure {
        Failure::coded(ErrorCode::NotFound, "there is no app `shpo`")
    }

    #[test]
    fn slips_of_the_hand_are_near() {
        let names = ["shop", "search", "cart-v2"];
        assert_eq!(closest("shpo", names), Some("shop"));
        assert_eq!(closest("serach", names), Some("search"));
        assert_eq!(closest("Cart_V2", names), Some("cart-v2"));
        assert_eq!(closest("billing", names), None);
        assert_eq!(closest("xx", ["xy"]), None);
    }

    #[test]
    fn the_nearest_name_is_offered_and_few_names_are_listed() {
        insta::assert_snapshot!(instead(absent(), "apps", "shpo", &["shop", "search"], "lath apps"), @r"
        error[E0102]: there is no app `shpo`
          = help: did you mean `shop`?
        ");
        insta::assert_snapshot!(instead(absent(), "apps", "billing", &["shop", "search"], "lath apps"), @r"
        error[E0102]: there is no app `shpo`
          = note: apps: shop, search
          = help: list them: lath apps
        ");
        insta::assert_snapshot!(instead(absent(), "apps", "billing", &[], "lath apps"), @r"
        error[E0102]: there is no app `shpo`
          = note: there are no apps
          = help: list them: lath apps
        ");
    }

    #[test]
    fn revisions_that_are_known_are_listed_newest_first() {
        let entry = |revision: u64| HistoryEntry {
            generation: Generation(revision),
            kind: ChangeKind::Deploy,
            revision: Some(Revision(revision)),
            from: None,
            strategy: String::new(),
            outcome: None,
            problem: None,
            started: Timestamp(0),
            ended: None,
            cause: Cause::default(),
        };
        let entries = (1..=12).rev().map(entry).collect();
        let history = History { app: "shop".parse().unwrap(), entries, tags: [].into() };
        let failure = Failure::coded(ErrorCode::NotFound, "`shop` has no revision 40");
        insta::assert_snapshot!(known_revisions(failure, &history), @r"
        error[E0102]: `shop` has no revision 40
          = note: newest revisions of `shop`: 12, 11, 10, 9, 8, 7, 6, 5
          = help: lath history shop
        ");
    }
}
