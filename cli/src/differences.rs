//! What two revisions differ in, as people read it: component by component, each thing with before and after.
//!
//! Pure. The differences are the manager's; here they are only brought together and laid out.

use lath_control_api::ComponentName;
use lath_control_api::plan::Difference;

use crate::output::{Glyphs, clean};

/// What the difference of a whole component is called.
const WHOLE: &str = "component";
/// What is known only of the app.
const APP: &str = "app";

/// Lines for the differences, in the order in which the manager gives them.
pub(crate) fn lines(changes: &[Difference], glyphs: Glyphs) -> Vec<String> {
    let mut owners: Vec<Option<&ComponentName>> = Vec::new();
    for change in changes {
        if !owners.contains(&change.component.as_ref()) {
            owners.push(change.component.as_ref());
        }
    }
    let mut lines = Vec::new();
    for owner in owners {
        let of_owner: Vec<&Difference> =
            changes.iter().filter(|change| change.component.as_ref() == owner).collect();
        lines.push(head(owner, &of_owner));
        let details: Vec<&Difference> =
            of_owner.into_iter().filter(|change| change.what != WHOLE || owner.is_none()).collect();
        let width = details.iter().map(|change| change.what.chars().count()).max().unwrap_or(0);
        lines.extend(details.into_iter().map(|change| detail(change, width, glyphs)));
    }
    lines
}

/// `~ component cart`.
fn head(owner: Option<&ComponentName>, changes: &[&Difference]) -> String {
    let Some(owner) = owner else { return format!("~ {APP}") };
    let whole = changes.iter().find(|change| change.what == WHOLE);
    match whole.map(|whole| (&whole.before, &whole.after)) {
        Some((None, Some(new))) => format!("+ component {owner}   {}", clean(new)),
        Some((Some(old), None)) => format!("- component {owner}   {}", clean(old)),
        Some(_) | None => format!("~ component {owner}"),
    }
}

/// `    image      a → b`.
fn detail(change: &Difference, width: usize, glyphs: Glyphs) -> String {
    let what = clean(&change.what);
    let value = match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            format!("{} {} {}", clean(before), glyphs.pick("→", "->"), clean(after))
        }
        (None, Some(after)) => format!("+ {}", clean(after)),
        (Some(before), None) => format!("- {}", clean(before)),
        (None, None) => String::new(),
    };
    format!("    {what:<width$}   {value}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(component: &str, what: &str, before: &str, after: &str) -> Difference {
        let value = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Difference {
            component: value(component).map(|name| name.parse().unwrap()),
            what: what.into(),
            before: value(before),
            after: value(after),
        }
    }

    #[test]
    fn each_component_has_its_lines() {
        let changes = [
            difference("cart", "image", "shop/cart:1.4.1", "shop/cart:1.5.0"),
            difference("cart", "config limits", "", "per-user=5"),
            difference("cart", "link kv", "wasi:keyvalue/store", ""),
            difference("search", "component", "", "file://search.wasm"),
            difference("legacy", "component", "file://legacy.wasm", ""),
            difference("", "policy strategy", "rolling", "canary"),
            difference("cart", "instances", "12", "14\u{1b}[2J"),
        ];
        insta::assert_snapshot!(lines(&changes, Glyphs::Unicode).join("\n"), @r"
        ~ component cart
            image           shop/cart:1.4.1 → shop/cart:1.5.0
            config limits   + per-user=5
            link kv         - wasi:keyvalue/store
            instances       12 → 14\u{1b}[2J
        + component search   file://search.wasm
        - component legacy   file://legacy.wasm
        ~ app
            policy strategy   rolling → canary
        ");
        assert!(lines(&changes, Glyphs::Ascii).iter().all(|line| line.is_ascii()));
        assert!(lines(&[], Glyphs::Unicode).is_empty());
    }
}
