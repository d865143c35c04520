//! Rules on named configurations and on references to secrets.
//!
//! Rules E10 to E12 and E21 of 1.x. Values are opaque: `${…}` and `{{…}}` are handed over as they stand.

use std::collections::BTreeMap;

use super::ids;
use super::links::links;
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::draft::{Draft, DraftConfig, DraftSecret};
use crate::limits::{MAX_CONFIG_VALUE, MAX_NAME};
use crate::manifest::Policy;
use crate::read::Pair;
use crate::report::{At, Report, Spanned, shown};

pub(super) fn names_and_values_are_fit(report: &mut Report<'_>, draft: &Draft<'_>) {
    for config in configs(draft) {
        check_name(report, config);
        for pair in config.properties.iter().flatten() {
            check_property(report, pair);
        }
    }
}

fn check_name(report: &mut Report<'_>, config: &DraftConfig<'_>) {
    let text = config.name.value;
    let fits = !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    // A name without properties is a key of the store as it stands, and NATS limits those.
    let is_key = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '/' | '_' | '=' | '.'));
    if !fits || (config.properties.is_none() && (!is_key || text.starts_with('.') || text.ends_with('.'))) {
        let message = format!("`{}` cannot be the name of a configuration", shown(text));
        let diagnostic = Diagnostic::error(code::TEXT, message);
        report.add(
            config.name.at,
            "",
            diagnostic.help("a name has 1 to 128 ASCII letters, digits, `-`, `_`, `=`, `/` or `.`"),
        );
    }
}

fn check_property(report: &mut Report<'_>, pair: &Pair<'_>) {
    let key = pair.key.value;
    if key.is_empty() || key.len() > MAX_NAME || key.chars().any(char::is_control) {
        let diagnostic =
            Diagnostic::error(code::TEXT, format!("`{}` cannot be the key of a configuration", shown(key)));
        report.add(pair.key.at, "", diagnostic.help("a key has 1 to 128 bytes, without control characters"));
    }
    if pair.value.value.len() > MAX_CONFIG_VALUE {
        let message = format!("a configuration value has at most {MAX_CONFIG_VALUE} bytes");
        let diagnostic = Diagnostic::error(code::TEXT, message);
        report.add(
            pair.value.at,
            "",
            diagnostic.help("keep large data in a store, and its place in the configuration"),
        );
    } else if pair.value.value.contains('\0') {
        let diagnostic =
            Diagnostic::error(code::TEXT, "a configuration value cannot contain a NUL character");
        report.add(pair.value.at, "", diagnostic.help("encode binary data, for example as base64"));
    }
}

/// Two definitions of one key must be the same, and a name is either the app's own or not.
pub(super) fn definitions_agree(report: &mut Report<'_>, draft: &Draft<'_>) {
    let Some(app) = ids::app(draft) else { return };
    let mut owned: BTreeMap<String, &DraftConfig<'_>> = BTreeMap::new();
    let mut owned_names: BTreeMap<&str, At> = BTreeMap::new();
    for config in configs(draft).filter(|config| config.properties.is_some()) {
        owned_names.entry(config.name.value).or_insert(config.name.at);
        let first = *owned.entry(ids::config_key(&app, config)).or_insert(config);
        if sorted(first) != sorted(config) {
            let message = format!(
                "the configuration `{}` is defined twice with different values",
                shown(config.name.value)
            );
            let diagnostic =
                Diagnostic::error(code::CONFIG, message).label(first.name.at.span, "first defined here");
            report.add(
                config.name.at,
                "defined differently here",
                diagnostic.help("give one of them another name"),
            );
        }
    }
    for config in configs(draft).filter(|config| config.properties.is_none()) {
        if let Some(definition) = owned_names.get(config.name.value) {
            let name = shown(config.name.value);
            let message =
                format!("`{name}` names a configuration of the lattice here, and one of the app elsewhere");
            let diagnostic = Diagnostic::error(code::CONFIG, message)
                .label(definition.span, "the app defines one of this name here")
                .help("repeat the properties to use the app's own, or give one of them another name");
            report.add(config.name.at, "no `properties`", diagnostic);
        }
    }
}

fn sorted<'t>(config: &DraftConfig<'t>) -> BTreeMap<&'t str, &'t str> {
    config.properties.iter().flatten().map(|pair| (pair.key.value, pair.value.value)).collect()
}

/// Rule E21: 1.x refuses a second definition in links even when it is the same.
pub(super) fn link_definitions_are_unique(report: &mut Report<'_>, draft: &Draft<'_>) {
    let mut seen: BTreeMap<&str, &DraftConfig<'_>> = BTreeMap::new();
    for config in link_configs(draft).filter(|config| config.properties.is_some()) {
        let first = *seen.entry(config.name.value).or_insert(config);
        // One that differs is reported as that.
        if !std::ptr::eq(first, config) && sorted(first) == sorted(config) {
            let message = format!("the configuration `{}` is defined in two links", shown(config.name.value));
            let diagnostic =
                Diagnostic::error(code::CONFIG, message).label(first.name.at.span, "first defined here");
            report.add(
                config.name.at,
                "defined again here",
                diagnostic.help("give one of them another name"),
            );
        }
    }
}

/// A warning only: the word may mean something harmless.
pub(super) fn nothing_looks_like_a_secret(report: &mut Report<'_>, draft: &Draft<'_>) {
    let grants = draft.components.iter().flat_map(|component| &component.grants);
    let variables = grants.flat_map(|grants| &grants.value.env);
    for pair in configs(draft).flat_map(|config| config.properties.iter().flatten()).chain(variables) {
        if is_secret_name(pair.key.value) && !pair.value.value.is_empty() {
            let message = format!(
                "the value of `{}` looks like a secret, and configuration is not kept secret",
                shown(pair.key.value)
            );
            let diagnostic = Diagnostic::warning(code::PLAIN_SECRET, message);
            report.add(
                pair.key.at,
                "",
                diagnostic.help("put it in a secret store and refer to it under `secrets`"),
            );
        }
    }
}

fn is_secret_name(key: &str) -> bool {
    let words: Vec<String> = key.split(['_', '-', '.']).map(str::to_ascii_lowercase).collect();
    let last = words.last().map(String::as_str).unwrap_or_default();
    let before = words.iter().rev().nth(1).map(String::as_str).unwrap_or_default();
    matches!(last, "password" | "passwd" | "passphrase" | "secret" | "token" | "apikey" | "credentials")
        || (last == "key" && matches!(before, "api" | "private" | "secret"))
}

pub(super) fn secrets_lead_to_a_backend(report: &mut Report<'_>, draft: &Draft<'_>) {
    for secret in secrets(draft) {
        for (text, what) in [(Some(secret.name), "name"), (secret.key, "key")] {
            if let Some(text) =
                text.filter(|text| text.value.is_empty() || text.value.chars().any(char::is_control))
            {
                let message = format!("the {what} of a secret is empty or has control characters");
                report.add(
                    text.at,
                    "",
                    Diagnostic::error(code::TEXT, message).help(format!("give it a {what}")),
                );
            }
        }
        if let Some(policy) = secret.policy {
            check_policy(report, draft, secret.name, policy);
        }
    }
}

/// Rules E10 to E12.
fn check_policy(report: &mut Report<'_>, draft: &Draft<'_>, secret: Spanned<&str>, policy: Spanned<&str>) {
    let named = draft.policies.iter().find(|known| known.name.is_some_and(|name| name.value == policy.value));
    let (secret, name) = (shown(secret.value), shown(policy.value));
    let Some(found) = named else {
        let names = draft.policies.iter().filter_map(|policy| policy.name).map(|name| name.value);
        let help = report.suggest(policy.value, names).map_or_else(
            || format!("add a policy of the type `{}`", Policy::SECRET),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("secret `{secret}` uses the policy `{name}`, which does not exist");
        return report.add(policy.at, "", Diagnostic::error(code::SECRET, message).help(help));
    };
    if found.kind.is_none_or(|kind| kind.value != Policy::SECRET) {
        let message = format!("secret `{secret}` uses the policy `{name}`, which is not a secret policy");
        let diagnostic = Diagnostic::error(code::SECRET, message)
            .label(found.at.span, "the policy")
            .help(format!("a secret policy has `type: {}`", Policy::SECRET));
        report.add(policy.at, "", diagnostic);
    } else if !found.properties.iter().any(|pair| pair.key.value == "backend" && !pair.value.value.is_empty())
    {
        let message = format!("secret `{secret}` uses the policy `{name}`, which names no backend");
        let diagnostic = Diagnostic::error(code::SECRET, message)
            .label(found.at.span, "the policy")
            .help("add `backend: …` to the properties of the policy");
        report.add(policy.at, "", diagnostic);
    }
}

/// Every configuration of components and links.
fn configs<'d, 't>(draft: &'d Draft<'t>) -> impl Iterator<Item = &'d DraftConfig<'t>> {
    draft.components.iter().flat_map(|component| &component.config).chain(link_configs(draft))
}

fn link_configs<'d, 't>(draft: &'d Draft<'t>) -> impl Iterator<Item = &'d DraftConfig<'t>> {
    links(draft).flat_map(|(_, link)| link.source_config.iter().chain(&link.target_config))
}

fn secrets<'d, 't>(draft: &'d Draft<'t>) -> impl Iterator<Item = &'d DraftSecret<'t>> {
    let in_links = links(draft).flat_map(|(_, link)| link.source_secrets.iter().chain(&link.target_secrets));
    draft.components.iter().flat_map(|component| &component.secrets).chain(in_links)
}
