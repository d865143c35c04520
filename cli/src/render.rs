//! Diagnostics of a manifest as people and tools read them: drawn over the source, or as workflow commands.
//!
//! Pure: data in, text out. What is wrong was decided elsewhere; nothing is left out here.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use lath_manifests::{Diagnostic, Label, Severity};

use crate::output::clean;

/// How drawings are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// With colours; the stream that it goes to takes them off where they are not wanted.
    Coloured,
    /// Text only.
    #[cfg_attr(not(test), expect(dead_code, reason = "snapshots are compared without colours"))]
    Plain,
}

/// Every diagnostic over the text of its file, with an empty line between two.
pub(crate) fn draw(diagnostics: &[Diagnostic], file: &str, source: &str, ink: Ink) -> String {
    let renderer = match ink {
        Ink::Coloured => Renderer::styled(),
        Ink::Plain => Renderer::plain(),
    };
    let drawn: Vec<String> =
        diagnostics.iter().map(|one| renderer.render(&[group(one, file, source)])).collect();
    drawn.join("\n\n")
}

/// `2 errors, 1 warning · shop.yaml`.
pub(crate) fn tally(diagnostics: &[Diagnostic], file: &str, dot: &str) -> String {
    let errors = diagnostics.iter().filter(|one| one.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    format!("{}, {} {dot} {file}", count(errors, "error"), count(warnings, "warning"))
}

/// Commands that a pull request shows beside the line: one for each diagnostic.
pub(crate) fn workflow_commands(diagnostics: &[Diagnostic], file: &str) -> String {
    diagnostics.iter().map(|one| workflow_command(one, file)).collect()
}

/// `1 error`, `2 errors`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn group<'a>(diagnostic: &'a Diagnostic, file: &'a str, source: &'a str) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(clean(&diagnostic.message)).id(&*diagnostic.code));
    let (inside, outside): (Vec<&Label>, Vec<&Label>) =
        diagnostic.labels.iter().partition(|label| stands_in(label, source));
    if !inside.is_empty() {
        let kinds =
            std::iter::once(AnnotationKind::Primary).chain(std::iter::repeat(AnnotationKind::Context));
        let annotations = inside.iter().zip(kinds).map(|(label, kind)| {
            let text = (!label.text.is_empty()).then(|| clean(&label.text));
            kind.span(label.span.start..label.span.end).label(text)
        });
        group = group.element(Snippet::source(source).path(file).annotations(annotations));
    }
    for label in outside {
        let place = Origin::path(file).line(label.span.line as usize).char_column(label.span.column as usize);
        group = group.element(place);
    }
    if diagnostic.labels.is_empty() {
        group = group.element(Origin::path(file));
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(clean(note)));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(clean(help)));
    }
    group
}

/// Whether the span can be drawn over the source: a file that is no text, or came from elsewhere, has other bytes.
fn stands_in(label: &Label, source: &str) -> bool {
    source.get(label.span.start..label.span.end).is_some()
}

fn workflow_command(diagnostic: &Diagnostic, file: &str) -> String {
    let command = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = diagnostic
        .labels
        .first()
        .map(|label| format!(",line={},col={}", label.span.line, label.span.column))
        .unwrap_or_default();
    let help = diagnostic.help.as_deref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    let text = workflow_text(&format!("{}{help}", diagnostic.message));
    format!("::{command} file={}{place},title={}::{text}\n", workflow_property(file), diagnostic.code)
}

/// Text fit for the end of a workflow command.
pub(crate) fn workflow_text(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Text fit for a property of a workflow command.
pub(crate) fn workflow_property(text: &str) -> String {
    workflow_text(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "\
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: shop
spec:
  components:
    - name: cart
      type: component
      properties:
        image: file://cart.wasm
      traits:
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target:
              name: cartt
";

    fn found(text: &str) -> Vec<Diagnostic> {
        match lath_manifests::load(text.as_bytes()) {
            Ok(loaded) => loaded.warnings,
            Err(found) => found,
        }
    }

    #[test]
    fn problems_are_drawn_over_the_source() {
        insta::assert_snapshot!(draw(&found(SHOP), "shop.yaml", SHOP, Ink::Plain));
    }

    #[test]
    fn a_problem_without_a_place_names_the_file() {
        insta::assert_snapshot!(draw(&found(""), "empty.yaml", "", Ink::Plain));
    }

    #[test]
    fn spans_that_do_not_fit_the_text_still_tell_the_line() {
        let drawn = draw(&found(SHOP), "shop.yaml", "short", Ink::Plain);
        assert!(drawn.contains("shop.yaml:18:"), "{drawn}");
    }

    #[test]
    fn workflow_commands_are_one_line_each() {
        let commands = workflow_commands(&found(SHOP), "a,b:c%.yaml");
        assert!(commands.contains("::error file=a%2Cb%3Ac%25.yaml,line=18,col="), "{commands}");
        assert_eq!(commands.lines().count(), found(SHOP).len());
    }

    #[test]
    fn numbers_have_the_right_noun() {
        assert_eq!(count(1, "error"), "1 error");
        assert_eq!(count(0, "warning"), "0 warnings");
    }
}
