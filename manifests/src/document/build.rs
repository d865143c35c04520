//! Parser events to a [`Tree`], within the bounds.
//!
//! The builder keeps its own stack, so no document can exhaust the thread's. What stops reading at once (syntax, depth,
//! aliases) is an `Err`; what does not (repeated keys, tags) is gathered.

use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::{Key, Node, NodeId, Tree, Value, scalar, to_u32};
use crate::code;
use crate::diagnostic::Diagnostic;
use crate::limits::{MAX_ALIASED_NODES, MAX_DEPTH, MAX_DIAGNOSTICS, MAX_NODES};
use crate::position::Span;

/// Builds the tree of `text`, which begins `skipped` bytes into the file.
pub(super) fn build(text: &str, skipped: usize) -> Result<Tree, Vec<Diagnostic>> {
    let mut builder = Builder::new(text, skipped);
    let read = builder.read();
    let mut problems = builder.problems;
    match (read, builder.root) {
        (Err(stopped), _) => problems.push(*stopped),
        (Ok(()), Some(root)) if problems.is_empty() => return Ok(Tree { nodes: builder.nodes, root }),
        (Ok(()), Some(_)) => {}
        (Ok(()), None) => problems.push(empty()),
    }
    Err(problems)
}

fn empty() -> Diagnostic {
    Diagnostic::error(code::EMPTY, "the file holds no manifest")
        .help("a manifest begins with `apiVersion: core.oam.dev/v1beta1`")
}

/// A problem after which nothing more can be read. Boxed, as it is carried through every step.
type Stop = Box<Diagnostic>;

struct Builder<'t> {
    text: &'t str,
    skipped: usize,
    nodes: Vec<Node>,
    root: Option<NodeId>,
    documents: usize,
    open: Vec<Open>,
    /// Finished nodes by the parser's number of their anchor.
    anchors: BTreeMap<usize, NodeId>,
    aliased: usize,
    problems: Vec<Diagnostic>,
}

/// A list or mapping whose end has not been seen.
struct Open {
    anchor: usize,
    span: Span,
    items: Items,
}

enum Items {
    List(Vec<NodeId>),
    Map { entries: Vec<(Key, NodeId)>, seen: BTreeMap<Box<str>, Span>, key: Option<Option<Key>> },
}

impl<'t> Builder<'t> {
    const fn new(text: &'t str, skipped: usize) -> Self {
        Self {
            text,
            skipped,
            nodes: Vec::new(),
            root: None,
            documents: 0,
            open: Vec::new(),
            anchors: BTreeMap::new(),
            aliased: 0,
            problems: Vec::new(),
        }
    }

    fn read(&mut self) -> Result<(), Stop> {
        let mut options = granit_parser::options! {
            // One more than ours, so that the check with the better message comes first.
            flow_nesting_limit: MAX_DEPTH + 1,
            block_nesting_limit: MAX_DEPTH + 1,
        };
        options.set_emit_comments(false);
        let text = self.text;
        let mut parser: Parser<'t, StrInput<'t>> = Parser::new_from_str_with_options(text, options);
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(|error| self.scan_error(&error))?;
            self.take(event, span)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'t>, at: granit_parser::Span) -> Result<(), Stop> {
        let span = self.span(&at);
        match event {
            Event::DocumentStart(..) => self.document(span),
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), &at);
                self.leaf(value, span, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &at);
                self.enter(span, anchor, Items::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &at);
                self.enter(span, anchor, Items::Map { entries: Vec::new(), seen: BTreeMap::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => Err(unknown_anchor(&name, span)),
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Anchor(..) => Ok(()),
            // The parser's `comments` feature may be switched on by another crate of the build.
            #[allow(
                unreachable_patterns,
                clippy::wildcard_enum_match_arm,
                reason = "which events exist depends on features"
            )]
            _ => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let diagnostic = Diagnostic::error(code::SEVERAL_DOCUMENTS, "the file holds more than one document")
            .label(span, "the second one begins here")
            .help("put each manifest in a file of its own");
        Err(Box::new(diagnostic))
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: &granit_parser::Span,
    ) -> Value {
        match tag {
            Some(tag) if tag.is_yaml_core_schema_tag("str") => Value::Text(text.into()),
            Some(_) => {
                self.refuse_tag(tag, at);
                Value::Text(text.into())
            }
            None if style == ScalarStyle::Plain => scalar::resolve(text),
            None => Value::Text(text.into()),
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, at: &granit_parser::Span) {
        if tag.is_some() {
            let span = at.tag_span().map_or_else(|| self.span(at), |tag| self.span(&tag));
            self.problem(unsupported("a tag has no meaning in a manifest", span).help("remove the tag"));
        }
    }

    fn leaf(&mut self, value: Value, span: Span, anchor: usize) -> Result<(), Stop> {
        if let Some(Open { items: Items::Map { key: key @ None, .. }, .. }) = self.open.last_mut() {
            *key = Some(None);
            return self.key(value, span);
        }
        let verbatim = self.verbatim(&value, span);
        let id = self.add(Node { value, span, parent: None, size: 1, height: 0, verbatim })?;
        self.anchor(anchor, id);
        self.attach(id);
        Ok(())
    }

    /// How far into `span` the text begins, when its bytes stand there as they are and on one line: bare, or between
    /// quotes without an escape.
    fn verbatim(&self, value: &Value, span: Span) -> Option<u8> {
        let Value::Text(text) = value else { return None };
        let (start, end) = (span.start.checked_sub(self.skipped)?, span.end.checked_sub(self.skipped)?);
        let written = self.text.get(start..end).filter(|written| !written.contains(['\n', '\r']))?;
        if *written == **text {
            return Some(0);
        }
        let inner = written.get(1..written.len().checked_sub(1)?)?;
        (*inner == **text).then_some(1)
    }

    /// Takes the scalar that was just read as the key of the innermost mapping.
    fn key(&mut self, value: Value, span: Span) -> Result<(), Stop> {
        let text = match value {
            Value::Text(text) if &*text == "<<" => {
                let problem = unsupported("merge keys have no meaning in a manifest", span)
                    .help("write the fields out, or repeat a whole value with an alias");
                self.problem(problem);
                return Ok(());
            }
            Value::Text(text) => text,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                let message = format!("a key must be text, and this is {}", value.noun());
                self.problem(unsupported(&message, span).help("put the key in double quotes"));
                return Ok(());
            }
        };
        let Some(Open { items: Items::Map { seen, key, .. }, .. }) = self.open.last_mut() else {
            return Ok(());
        };
        if let Some(first) = seen.get(&text).copied() {
            self.problem(
                Diagnostic::error(code::DUPLICATE_KEY, format!("the key `{}` is there twice", shown(&text)))
                    .label(span, "again here")
                    .label(first, "first here")
                    .help("remove one of the two"),
            );
            return Ok(());
        }
        seen.insert(text.clone(), span);
        *key = Some(Some(Key { text, span }));
        Ok(())
    }

    fn enter(&mut self, span: Span, anchor: usize, items: Items) -> Result<(), Stop> {
        if let Some(Open { items: Items::Map { key: key @ None, .. }, .. }) = self.open.last_mut() {
            *key = Some(None);
            let problem = unsupported("a key must be text, and this is a list or a mapping", span)
                .help("put the key in double quotes; a template such as `{{ name }}` needs them too");
            return Err(Box::new(problem));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.open.push(Open { anchor, span, items });
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Stop> {
        let Some(Open { anchor, span, items }) = self.open.pop() else { return Ok(()) };
        let value = match items {
            Items::List(items) => Value::List(items),
            Items::Map { entries, .. } => Value::Map(entries),
        };
        let children: Vec<NodeId> = match &value {
            Value::List(items) => items.clone(),
            Value::Map(entries) => entries.iter().map(|(_, id)| *id).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => Vec::new(),
        };
        let size = children.iter().fold(1, |size, child| size + self.size(*child));
        let height = 1 + children.iter().map(|child| self.height(*child)).max().unwrap_or_default();
        let id = self.add(Node { value, span, parent: None, size, height, verbatim: None })?;
        for child in children {
            // An alias brings a node that has its parent already.
            if let Some(node) = self.nodes.get_mut(child.0).filter(|node| node.parent.is_none()) {
                node.parent = Some(id);
            }
        }
        self.anchor(anchor, id);
        self.attach(id);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(id) = self.anchors.get(&anchor).copied() else {
            let diagnostic =
                Diagnostic::error(code::ALIASES, "an alias stands inside the value that it repeats")
                    .label(span, "")
                    .help("write the value out");
            return Err(Box::new(diagnostic));
        };
        self.aliased = self.aliased.saturating_add(self.size(id));
        if self.aliased > MAX_ALIASED_NODES {
            let message = format!("aliases repeat more than {MAX_ALIASED_NODES} values");
            let diagnostic = Diagnostic::error(code::ALIASES, message)
                .label(span, "the limit is passed here")
                .help("write the values out, or make the manifest smaller");
            return Err(Box::new(diagnostic));
        }
        if self.open.len() + self.height(id) > MAX_DEPTH {
            return Err(too_deep(span));
        }
        if let Some(Open { items: Items::Map { key: key @ None, .. }, .. }) = self.open.last_mut() {
            *key = Some(None);
            let problem = unsupported("an alias cannot be a key", span).help("write the key out");
            self.problem(problem);
            return Ok(());
        }
        self.attach(id);
        Ok(())
    }

    fn attach(&mut self, id: NodeId) {
        match self.open.last_mut() {
            None => self.root = Some(id),
            Some(Open { items: Items::List(items), .. }) => items.push(id),
            Some(Open { items: Items::Map { entries, key, .. }, .. }) => {
                // A key that was refused drops its value with it.
                if let Some(Some(key)) = key.take() {
                    entries.push((key, id));
                }
            }
        }
    }

    fn add(&mut self, node: Node) -> Result<NodeId, Stop> {
        if self.nodes.len() >= MAX_NODES {
            let message = format!("the manifest holds more than {MAX_NODES} values");
            return Err(Box::new(Diagnostic::error(code::TOO_LARGE, message).label(node.span, "")));
        }
        self.nodes.push(node);
        Ok(NodeId(self.nodes.len() - 1))
    }

    fn anchor(&mut self, anchor: usize, id: NodeId) {
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
    }

    fn size(&self, id: NodeId) -> usize {
        self.nodes.get(id.0).map_or(1, |node| node.size)
    }

    fn height(&self, id: NodeId) -> usize {
        self.nodes.get(id.0).map_or(0, |node| node.height)
    }

    fn problem(&mut self, diagnostic: Diagnostic) {
        if self.problems.len() <= MAX_DIAGNOSTICS {
            self.problems.push(diagnostic);
        }
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let bytes = span.byte_range().unwrap_or_default();
        Span {
            start: bytes.start + self.skipped,
            end: bytes.end.max(bytes.start) + self.skipped,
            line: to_u32(span.start.line()),
            column: to_u32(span.start.col() + 1),
        }
    }

    fn scan_error(&self, error: &ScanError) -> Stop {
        let marker = error.marker();
        let at = marker.byte_offset().unwrap_or_default();
        let (line, column) = (to_u32(marker.line()), to_u32(marker.col() + 1));
        let (before, after) = self.text.split_at_checked(at).unwrap_or((self.text, ""));
        // The parser has gone past the tab that it refuses; people look for the tab itself.
        if is_tab(error.kind()) && before.ends_with('\t') {
            let span = Span {
                start: at - 1 + self.skipped,
                end: at + self.skipped,
                line,
                column: column.max(2) - 1,
            };
            return Box::new(describe(error, span));
        }
        let width = after.chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
        let span = Span { start: at + self.skipped, end: at + width + self.skipped, line, column };
        Box::new(describe(error, span))
    }
}

fn is_tab(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation)
}

fn describe(error: &ScanError, span: Span) -> Diagnostic {
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => *too_deep(span),
        ErrorKind::UnknownAnchor => *unknown_anchor("", span),
        kind if is_tab(kind) => Diagnostic::error(code::SYNTAX, "a tab stands where YAML takes only spaces")
            .label(span, "")
            .help("indent with spaces"),
        #[allow(clippy::wildcard_enum_match_arm, reason = "the parser's list of errors is open")]
        _ => Diagnostic::error(code::SYNTAX, format!("the manifest is not valid YAML: {}", error.info()))
            .label(span, "reading stopped here"),
    }
}

fn unsupported(message: &str, span: Span) -> Diagnostic {
    Diagnostic::error(code::UNSUPPORTED_YAML, message).label(span, "")
}

fn too_deep(span: Span) -> Stop {
    let message = format!("lists and mappings are nested more than {MAX_DEPTH} levels deep");
    Box::new(
        Diagnostic::error(code::TOO_DEEP, message)
            .label(span, "the limit is passed here")
            .help("a manifest needs about 12 levels; look for an indentation that went wrong"),
    )
}

fn unknown_anchor(name: &str, span: Span) -> Stop {
    let what = if name.is_empty() { "an alias".to_owned() } else { format!("the alias `*{}`", shown(name)) };
    let message = format!("{what} repeats a value that was not marked before");
    let help = "mark the value with `&name` before it is repeated with `*name`, or quote a text that begins with `*`";
    Box::new(Diagnostic::error(code::SYNTAX, message).label(span, "").help(help))
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
