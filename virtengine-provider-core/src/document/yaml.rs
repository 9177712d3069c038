use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};

use super::read::{Stop, small};
use super::{Code, DEPTH_MAX, Entry, NODES_MAX, Node, Path, Problems, Scalar, Span, Value};

/// Reads one YAML 1.2 document.
pub(super) fn read<'t>(text: &'t str, problems: &mut Problems) -> Result<Node<'t>, Stop> {
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        nodes: 0,
        problems,
    };
    builder.document()
}

struct Builder<'t, 'p> {
    parser: Parser<'t, StrInput<'t>>,
    nodes: usize,
    problems: &'p mut Problems,
}

type Spanned<'t> = (Event<'t>, Span);

impl<'t> Builder<'t, '_> {
    fn document(&mut self) -> Result<Node<'t>, Stop> {
        let (mut event, mut span) = self.next()?;
        while matches!(
            event,
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing
        ) {
            (event, span) = self.next()?;
        }
        if matches!(event, Event::StreamEnd) {
            return Err(stop(
                &Path::ROOT,
                Span { line: 1, column: 1 },
                "the document is empty",
            ));
        }
        let node = self.node(event, span, 1, &Path::ROOT)?;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(node),
                (Event::DocumentStart(_), span) => {
                    return Err(stop(
                        &Path::ROOT,
                        span,
                        "a second document begins here; only one is read",
                    ));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<Spanned<'t>, Stop> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, place(span.start))),
            Some(Err(error)) => Err(stop(
                &Path::ROOT,
                place(*error.marker()),
                error.info().to_string(),
            )),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(
        &mut self,
        event: Event<'t>,
        span: Span,
        depth: usize,
        path: &Path<'_>,
    ) -> Result<Node<'t>, Stop> {
        self.count(span, depth, path)?;
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                plain(anchor, tag.is_some(), span, path)?;
                Value::Scalar(scalar(text, style, span, path)?)
            }
            Event::SequenceStart(anchor, tag) => {
                plain(anchor, tag.is_some(), span, path)?;
                Value::List(self.list(depth, path)?)
            }
            Event::MappingStart(anchor, tag) => {
                plain(anchor, tag.is_some(), span, path)?;
                Value::Map(self.map(depth, path)?)
            }
            Event::Alias(_) => {
                return Err(stop(
                    path,
                    span,
                    "aliases (*name) are not read; write the value out",
                ));
            }
            _ => return Err(stop(path, span, "a value was expected here")),
        };
        Ok(Node { span, value })
    }

    fn list(&mut self, depth: usize, path: &Path<'_>) -> Result<Vec<Node<'t>>, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(items);
            }
            let item = self.node(event, span, depth.saturating_add(1), &path.index(items.len()))?;
            items.push(item);
        }
    }

    fn map(&mut self, depth: usize, path: &Path<'_>) -> Result<Vec<Entry<'t>>, Stop> {
        let mut entries = Vec::new();
        loop {
            let (event, key_span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                report_duplicates(&entries, path, self.problems);
                return Ok(entries);
            }
            let key = self.key(event, key_span, depth, path)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth.saturating_add(1), &path.key(&key))?;
            entries.push(Entry { key, key_span, value });
        }
    }

    fn key(
        &mut self,
        event: Event<'t>,
        span: Span,
        depth: usize,
        path: &Path<'_>,
    ) -> Result<Cow<'t, str>, Stop> {
        self.count(span, depth, path)?;
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                plain(anchor, tag.is_some(), span, path)?;
                let key = scalar(text, style, span, path)?;
                if key.text == "<<" && !key.quoted {
                    return Err(stop(
                        path,
                        span,
                        "merge keys (<<) are not read; write the fields out",
                    ));
                }
                if key.text.is_empty() {
                    return Err(stop(path, span, "a key is empty"));
                }
                Ok(key.text)
            }
            _ => Err(stop(path, span, "a key must be a plain text")),
        }
    }

    fn count(&mut self, span: Span, depth: usize, path: &Path<'_>) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(1);
        if depth > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(limit(path, span, message));
        }
        if self.nodes > NODES_MAX {
            let message = format!("more than {NODES_MAX} values");
            return Err(limit(path, span, message));
        }
        Ok(())
    }
}

/// The parser counts lines from 1 and columns from 0.
fn place(marker: Marker) -> Span {
    Span {
        line: small(marker.line()),
        column: small(marker.col().saturating_add(1)),
    }
}

fn plain(anchor: usize, tagged: bool, span: Span, path: &Path<'_>) -> Result<(), Stop> {
    if anchor > 0 {
        return Err(stop(
            path,
            span,
            "anchors (&name) are not read; write the value out",
        ));
    }
    if tagged {
        return Err(stop(path, span, "tags (!name) are not read"));
    }
    Ok(())
}

fn scalar<'t>(
    text: Cow<'t, str>,
    style: ScalarStyle,
    span: Span,
    path: &Path<'_>,
) -> Result<Scalar<'t>, Stop> {
    refuse_control(&text, style == ScalarStyle::DoubleQuoted, span, path)?;
    Ok(Scalar {
        text,
        quoted: style != ScalarStyle::Plain,
        hidden: false,
    })
}

/// Escapes can bring back the control characters that the text itself may not hold.
pub(super) fn refuse_control(text: &str, escaped: bool, span: Span, path: &Path<'_>) -> Result<(), Stop> {
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if escaped && text.contains(bad) {
        return Err(stop(path, span, "a control character"));
    }
    Ok(())
}

/// Maps of at most this many keys are compared pair by pair, which needs no memory.
const SMALL_MAP: usize = 12;

/// Whether a key stands twice.
pub(super) fn has_duplicates(entries: &[Entry<'_>]) -> bool {
    if entries.len() <= SMALL_MAP {
        let twice = |(index, second): (usize, &Entry<'_>)| {
            entries.iter().take(index).any(|first| first.key == second.key)
        };
        return entries.iter().enumerate().any(twice);
    }
    let mut keys: Vec<&str> = entries.iter().map(|entry| &*entry.key).collect();
    keys.sort_unstable();
    keys.iter().zip(keys.iter().skip(1)).any(|(a, b)| a == b)
}

/// Reports every key that stands a second time.
pub(super) fn report_duplicates(entries: &[Entry<'_>], path: &Path<'_>, problems: &mut Problems) {
    if entries.len() <= SMALL_MAP {
        for (index, second) in entries.iter().enumerate() {
            let first = entries.iter().take(index).find(|first| first.key == second.key);
            if let Some(first) = first {
                report_duplicate(first, second, path, problems);
            }
        }
        return;
    }
    let mut sorted: Vec<&Entry<'_>> = entries.iter().collect();
    // Stable: of two equal keys, the earlier one stays first.
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    for (first, second) in sorted.iter().zip(sorted.iter().skip(1)) {
        if first.key == second.key {
            report_duplicate(first, second, path, problems);
        }
    }
}

fn report_duplicate(first: &Entry<'_>, second: &Entry<'_>, path: &Path<'_>, problems: &mut Problems) {
    problems.error_at(
        Code::DuplicateName,
        &path.key(&second.key),
        second.key_span,
        format!(
            "the key stands twice; the other one is on line {}",
            first.key_span.line
        ),
        None,
    );
}

pub(super) fn stop(path: &Path<'_>, span: Span, message: impl Into<Cow<'static, str>>) -> Stop {
    Stop {
        code: Code::Syntax,
        path: path.to_string(),
        span,
        message: message.into(),
        is_limit: false,
    }
}

pub(super) fn limit(path: &Path<'_>, span: Span, message: String) -> Stop {
    Stop {
        code: Code::MaxExceeded,
        is_limit: true,
        ..stop(path, span, message)
    }
}
