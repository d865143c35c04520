//! Old forms of a manifest, rewritten in its own text: comments, order and everything else stay as they were.
//!
//! What was rewritten must mean the same as before, or the text is given up and the manifest is told as data: nothing is
//! trusted here but that comparison. Which forms are old is said by the warnings of [`crate::load`].

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::diagnostic::Diagnostic;
use crate::document::{self, Key, NodeId, Tree, Value as Node};
use crate::position::Span;
use crate::{code, json, load};

/// A manifest without old forms.
#[derive(Debug, Clone, PartialEq)]
pub struct Migrated {
    /// Its text; none where an old form stands in a way that only a rewriting of all of it mends.
    pub text: Option<String>,
    /// What it says, for that case.
    pub value: Value,
    /// The old forms that it had, in the order of the file. Without any the text is as it was.
    pub changes: Vec<Diagnostic>,
    /// What else is to be said of it: what is kept and does not act, what is ignored.
    pub notes: Vec<Diagnostic>,
}

/// Rewrites the old forms of a manifest.
///
/// # Errors
/// The problems of a manifest that is not valid, as by [`crate::load`].
pub fn migrate(bytes: &[u8]) -> Result<Migrated, Vec<Diagnostic>> {
    let loaded = load(bytes)?;
    let is_old = |found: &Diagnostic| found.code == code::DEPRECATED;
    let (changes, notes): (Vec<_>, Vec<_>) = loaded.warnings.into_iter().partition(is_old);
    let value = json::of(bytes)?;
    let text = String::from_utf8_lossy(bytes).into_owned();
    if changes.is_empty() {
        return Ok(Migrated { text: Some(text), value, changes, notes });
    }
    let edited = edit(&document::parse(bytes)?, &text).filter(|new| {
        let without_old = load(new.as_bytes())
            .is_ok_and(|loaded| !loaded.warnings.iter().any(|found| found.code == code::DEPRECATED));
        let same = json::of(new.as_bytes()).is_ok_and(|new| new == value);
        without_old && same && (!is_json(&text) || is_json(new))
    });
    Ok(Migrated { text: edited, value, changes, notes })
}

/// Replacements by the bytes that they replace. What aliases repeat is replaced once.
type Edits = BTreeMap<(usize, usize), String>;

fn edit(tree: &Tree, text: &str) -> Option<String> {
    let mut edits = Edits::new();
    for component in
        items(tree, field(tree, tree.root(), "spec").and_then(|(_, id)| field(tree, id, "components")))
    {
        edit_component(tree, text, component, &mut edits)?;
    }
    apply(text, &edits)
}

fn apply(text: &str, edits: &Edits) -> Option<String> {
    let (mut edited, mut done) = (String::with_capacity(text.len()), 0);
    for ((start, end), new) in edits {
        edited.push_str(text.get(done..*start)?);
        edited.push_str(new);
        done = *end;
    }
    edited.push_str(text.get(done..)?);
    Some(edited)
}

fn edit_component(tree: &Tree, text: &str, component: NodeId, edits: &mut Edits) -> Option<()> {
    if let Some((_, kind)) = field(tree, component, "type") {
        match tree.value(kind) {
            Node::Text(old) if **old == *"actor" => replace(text, tree.span(kind), "component", edits),
            Node::Text(old) if **old == *"provider" => replace(text, tree.span(kind), "capability", edits),
            _ => {}
        }
    }
    for trait_ in items(tree, field(tree, component, "traits")) {
        let kind = field(tree, trait_, "type").map(|(_, id)| tree.value(id));
        let (Some(Node::Text(kind)), Some((_, properties))) = (kind, field(tree, trait_, "properties"))
        else {
            continue;
        };
        match &**kind {
            "spreadscaler" | "daemonscaler" => {
                if let Some((key, _)) = field(tree, properties, "replicas") {
                    replace(text, key.span, "instances", edits);
                }
            }
            "link" => edit_link(tree, text, properties, edits)?,
            _ => {}
        }
    }
    Some(())
}

fn edit_link(tree: &Tree, text: &str, link: NodeId, edits: &mut Edits) -> Option<()> {
    let target = field(tree, link, "target").filter(|(_, id)| matches!(tree.value(*id), Node::Text(_)));
    match (target, field(tree, link, "target_config")) {
        (Some((_, target)), None) => {
            let span = tree.span(target);
            let (name, key) =
                (text.get(span.start..span.end)?, if is_json(text) { "\"name\"" } else { "name" });
            edits.insert((span.start, span.end), format!("{{ {key}: {name} }}"));
        }
        (Some((key, target)), Some((old, config))) => {
            let span = tree.span(target);
            let name = text.get(span.start..span.end)?;
            remove_line(text, key.span, span, edits)?;
            nest(text, old, tree.span(config), &format!("target:\n{}name: {name}", inner(old)), edits)?;
        }
        (None, _) => {}
    }
    if let (None, Some((old, config))) = (field(tree, link, "source"), field(tree, link, "source_config")) {
        nest(text, old, tree.span(config), "source:", edits)?;
    }
    Some(())
}

/// Makes `old: LIST` into `head`, with `config: LIST` inside of it, two columns further in.
fn nest(text: &str, old: &Key, list: Span, head: &str, edits: &mut Edits) -> Option<()> {
    let indent = usize::try_from(old.span.column).ok()?.checked_sub(1)?;
    edits.insert((old.span.start, old.span.end), format!("{head}\n{}config", inner(old)));
    let key_line = line_of(text, old.span.start)?;
    if list.start < key_line.1 {
        // A list in brackets stays as it is, if it ends on the line on which it begins.
        return text.get(list.start..list.end).filter(|list| !list.contains('\n')).map(drop);
    }
    let mut at = key_line.1;
    while let Some((start, end)) = line_of(text, at) {
        let line = text.get(start..end)?;
        let depth = line.len() - line.trim_start_matches(' ').len();
        let words = line.trim();
        let below = depth > indent || (depth == indent && words.starts_with('-'));
        if !words.is_empty() && !words.starts_with('#') && !below {
            break;
        }
        if !words.is_empty() && below {
            edits.insert((start, start), "  ".to_owned());
        }
        at = end;
    }
    Some(())
}

/// The whitespace before what stands inside of the value of this key.
fn inner(key: &Key) -> String {
    " ".repeat(usize::try_from(key.span.column).unwrap_or_default().saturating_add(1))
}

/// Takes the line of a key and its value away, if nothing else stands on it.
fn remove_line(text: &str, key: Span, value: Span, edits: &mut Edits) -> Option<()> {
    let (start, end) = line_of(text, key.start)?;
    let alone = text.get(start..key.start)?.trim().is_empty() && text.get(value.end..end)?.trim().is_empty();
    (alone && value.end <= end).then(|| drop(edits.insert((start, end), String::new())))
}

/// The line of a byte, with the end of the line; none after the end of the text.
fn line_of(text: &str, at: usize) -> Option<(usize, usize)> {
    let (before, after) = text.split_at_checked(at)?;
    if after.is_empty() {
        return None;
    }
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    Some((start, after.find('\n').map_or(text.len(), |end| at + end + 1)))
}

/// Puts a word in place of another, between the quotes of that one.
fn replace(text: &str, span: Span, new: &str, edits: &mut Edits) {
    let old = text.get(span.start..span.end).unwrap_or_default();
    let quote = ["\"", "'"].into_iter().find(|quote| old.starts_with(quote)).unwrap_or_default();
    edits.insert((span.start, span.end), format!("{quote}{new}{quote}"));
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn field<'t>(tree: &'t Tree, map: NodeId, name: &str) -> Option<(&'t Key, NodeId)> {
    let Node::Map(entries) = tree.value(map) else { return None };
    entries.iter().find(|(key, _)| *key.text == *name).map(|(key, id)| (key, *id))
}

fn items(tree: &Tree, list: Option<(&Key, NodeId)>) -> Vec<NodeId> {
    match list.map(|(_, id)| tree.value(id)) {
        Some(Node::List(items)) => items.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
