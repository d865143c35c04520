//! Standard output is data: tables for people, documents for machines. Standard error is everything else.
//!
//! No command decides here what is shown, only how. Text from the lattice loses its control characters before a
//! terminal sees it. A reader that goes away ends the output, not the command.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::failure::{Exit, Failure};

/// Version of every document that is printed.
pub(crate) const API_VERSION: &str = "lath/v1";

/// The forms of standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    #[value(alias = "text")]
    Table,
    /// More columns.
    Wide,
    /// One JSON document.
    Json,
    /// The same document as YAML.
    Yaml,
    /// One JSON object a line.
    Ndjson,
    /// Names only, one a line.
    Name,
}

impl Format {
    /// Whether programs read it: failures are then documents too.
    pub(crate) const fn is_machine(self) -> bool {
        matches!(self, Self::Json | Self::Yaml | Self::Ndjson)
    }
}

/// Words or pictures for states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glyphs {
    /// Pictures, in a locale that can show them.
    Unicode,
    /// Two letters.
    Ascii,
}

impl Glyphs {
    /// Pictures only where the locale is UTF-8.
    pub(crate) fn of_locale(env: impl Fn(&str) -> Option<String>) -> Self {
        let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| env(name).filter(|v| !v.is_empty()));
        let locale = set.unwrap_or_default().to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { Self::Unicode } else { Self::Ascii }
    }

    /// One of the two forms.
    pub(crate) const fn pick(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        match self {
            Self::Unicode => unicode,
            Self::Ascii => ascii,
        }
    }
}

/// What a command has found or done, in all forms.
#[derive(Debug)]
pub(crate) struct Document {
    kind: &'static str,
    body: Value,
    items: Option<(&'static str, Vec<Value>)>,
    names: Vec<String>,
}

impl Document {
    /// A document of `kind` whose fields are those of `body`.
    pub(crate) fn new(kind: &'static str, body: &impl Serialize) -> Self {
        Self { kind, body: value(body), items: None, names: Vec::new() }
    }

    /// The document is a list: as `ndjson` each of `items` is a document of `kind` in a line of its own.
    pub(crate) fn listing<T: Serialize>(self, kind: &'static str, items: &[T]) -> Self {
        Self { items: Some((kind, items.iter().map(value).collect())), ..self }
    }

    /// What `-o name` prints.
    pub(crate) fn names(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), ..self }
    }

    fn lines(&self) -> Vec<Value> {
        match &self.items {
            Some((kind, items)) => items.iter().map(|item| headed(kind, item.clone())).collect(),
            None => vec![headed(self.kind, self.body.clone())],
        }
    }
}

/// Whatever serde cannot write would be a defect of ours; an empty document shows it without ending the command.
fn value(body: &impl Serialize) -> Value {
    serde_json::to_value(body).unwrap_or_default()
}

fn headed(kind: &str, body: Value) -> Value {
    let mut fields = Map::new();
    fields.insert("apiVersion".into(), API_VERSION.into());
    fields.insert("kind".into(), kind.into());
    if let Value::Object(body) = body {
        fields.extend(body);
    }
    Value::Object(fields)
}

/// The two outputs of the process, in the form that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Form of standard output.
    pub(crate) format: Format,
    /// Whether tables have a first line of titles.
    pub(crate) headers: bool,
    /// How states are shown.
    pub(crate) glyphs: Glyphs,
    /// Whether hints and progress are left out.
    pub(crate) quiet: bool,
}

impl Output {
    /// Prints a document; `text` makes the form for people, wide or not.
    pub(crate) fn print(
        &self,
        document: &Document,
        text: impl FnOnce(bool) -> String,
    ) -> Result<(), Failure> {
        let printed = match self.format {
            Format::Table => text(false),
            Format::Wide => text(true),
            Format::Json => pretty(&headed(document.kind, document.body.clone())),
            Format::Yaml => yaml(&headed(document.kind, document.body.clone()))?,
            Format::Ndjson => document.lines().iter().map(|line| format!("{line}\n")).collect(),
            Format::Name => document.names.iter().map(|name| format!("{name}\n")).collect(),
        };
        self.write(&printed)
    }

    /// Prints a document without a head, as another tool prints it; `text` makes the form for people.
    pub(crate) fn print_bare(&self, body: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let printed = match self.format {
            Format::Table | Format::Wide | Format::Name => text(),
            Format::Json => pretty(body),
            Format::Yaml => yaml(body)?,
            Format::Ndjson => format!("{body}\n"),
        };
        self.write(&printed)
    }

    /// One line of a stream of documents; nothing in the other forms.
    pub(crate) fn stream(&self, kind: &'static str, body: &impl Serialize) -> Result<(), Failure> {
        match self.format {
            Format::Ndjson => self.write(&format!("{}\n", headed(kind, value(body)))),
            Format::Table | Format::Wide | Format::Json | Format::Yaml | Format::Name => Ok(()),
        }
    }

    /// Text as it is, to standard output.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// Text to standard output without a change of any byte. Only a terminal is spared control characters.
    pub(crate) fn write_exactly(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let harmless = |line: &str| clean(line.trim_end_matches('\n')) + "\n";
        let text = if out.is_terminal() {
            text.split_inclusive('\n').map(harmless).collect()
        } else {
            text.to_owned()
        };
        written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// A hint, warning or progress line for people, to standard error.
    pub(crate) fn say(&self, line: &str) {
        if !self.quiet {
            tell(line);
        }
    }

    /// Prints a failure: for people to standard error, for machines also to standard output.
    pub(crate) fn fail(&self, failure: &Failure) {
        if self.format.is_machine() {
            let document = failure.document();
            let printed = match self.format {
                Format::Yaml => yaml(&document).unwrap_or_default(),
                Format::Ndjson => format!("{document}\n"),
                Format::Table | Format::Wide | Format::Json | Format::Name => pretty(&document),
            };
            // Standard error still says it when standard output cannot.
            _ = self.write(&printed);
            tell(&clean(&failure.line()));
        } else {
            tell(&failure.to_string());
        }
    }
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, format!("cannot write to standard output: {error}")))
        }
        // `lath apps | head -1` has what it wanted.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A line to standard error. When nobody reads it there is nothing left to do about it.
pub(crate) fn tell(line: &str) {
    let mut err = anstream::stderr().lock();
    _ = writeln!(err, "{line}");
}

/// Whether a question can be put: somebody reads standard error and types on standard input.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn yaml(value: &Value) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(value)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot write YAML: {error}")))?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// Text of others, fit for a terminal: control characters are shown, not obeyed. Line ends become spaces.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => cleaned.push(' '),
            '\r' => {}
            c if c.is_control() => cleaned.extend(c.escape_default()),
            c => cleaned.push(c),
        }
    }
    cleaned
}

/// Columns of text without lines around them.
pub(crate) fn table(headers: bool, titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if headers {
        table.set_header(titles.to_vec());
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| clean(cell)).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// What stands in a cell that has nothing to say.
pub(crate) const NOTHING: &str = "-";

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct App {
        app: &'static str,
    }

    #[test]
    fn documents_have_a_version_and_a_kind() {
        let apps = [App { app: "a" }, App { app: "b" }];
        let list = Document::new("AppList", &serde_json::json!({ "apps": apps })).listing("App", &apps);
        let lines: Vec<String> = list.lines().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                r#"{"apiVersion":"lath/v1","app":"a","kind":"App"}"#,
                r#"{"apiVersion":"lath/v1","app":"b","kind":"App"}"#
            ]
        );
    }

    #[test]
    fn tables_line_up_and_carry_no_control_characters() {
        let rows = vec![vec!["a".into(), "x\u{1b}[2Jy".into()], vec!["longer".into(), "two\nlines".into()]];
        insta::assert_snapshot!(table(true, &["NAME", "TEXT"], rows), @r"
        NAME    TEXT
        a       x\u{1b}[2Jy
        longer  two lines
        ");
    }

    #[test]
    fn pictures_need_a_utf8_locale() {
        let set = |value: &'static str| move |name: &str| (name == "LANG").then(|| value.to_owned());
        assert_eq!(Glyphs::of_locale(set("de_DE.UTF-8")), Glyphs::Unicode);
        assert_eq!(Glyphs::of_locale(set("C")), Glyphs::Ascii);
        assert_eq!(Glyphs::of_locale(|_| None), Glyphs::Ascii);
    }
}
