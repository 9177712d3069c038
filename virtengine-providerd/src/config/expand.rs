use std::borrow::Cow;

use virtengine_provider_core::document::{Code, Node, Path, Problems, Scalar, Span, Value};

/// Longest value after expansion. Nothing that belongs into the file is longer.
const EXPANDED_BYTES_MAX: usize = 64 * 1024;

/// Replaces `${VAR}` and `${VAR:-default}` in every value, keys excepted. `$${` stands for `${`. What came from the
/// environment is marked hidden, so that no message repeats it.
pub(super) fn expand(node: &mut Node<'_>, env: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) {
    walk(node, &Path::ROOT, env, problems);
}

fn walk(node: &mut Node<'_>, path: &Path<'_>, env: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) {
    let span = node.span;
    match &mut node.value {
        Value::Scalar(scalar) if scalar.text.contains("${") => {
            if let Err(problem) = replace(scalar, env) {
                report(problem, path, span, problems);
            }
        }
        Value::Scalar(_) => {}
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, &path.index(index), env, problems);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                walk(&mut entry.value, &path.key(&entry.key), env, problems);
            }
        }
    }
}

enum Unexpandable {
    Unset(String),
    Shape,
    TooLong,
}

fn report(problem: Unexpandable, path: &Path<'_>, span: Span, problems: &mut Problems) {
    match problem {
        Unexpandable::Unset(name) => problems.error_at(
            Code::UnsetVariable,
            path,
            span,
            format!("the environment variable {name} is not set"),
            Some(format!("set it, or write ${{{name}:-default}}")),
        ),
        Unexpandable::Shape => problems.error_at(
            Code::InvalidValue,
            path,
            span,
            "a variable that is not closed or has no legal name",
            Some("${NAME} or ${NAME:-default}; $${ for a plain ${".to_owned()),
        ),
        Unexpandable::TooLong => problems.error_at(
            Code::MaxExceeded,
            path,
            span,
            format!("longer than {EXPANDED_BYTES_MAX} bytes with its variables"),
            None,
        ),
    }
}

fn replace(scalar: &mut Scalar<'_>, env: &dyn Fn(&str) -> Option<String>) -> Result<(), Unexpandable> {
    let mut out = String::new();
    let mut rest: &str = &scalar.text;
    let mut hidden = false;
    while let Some(start) = rest.find("${") {
        let before = &rest[..start];
        let after = &rest[start + 2..];
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let end = after.find('}').ok_or(Unexpandable::Shape)?;
        let inner = &after[..end];
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_variable(name) {
            return Err(Unexpandable::Shape);
        }
        // As in a shell, :- also replaces an empty value.
        match (env(name), default) {
            (Some(value), default) if !value.is_empty() || default.is_none() => {
                out.push_str(&value);
                hidden = true;
            }
            (_, Some(default)) => out.push_str(default),
            (_, None) => return Err(Unexpandable::Unset(name.to_owned())),
        }
        if out.len() > EXPANDED_BYTES_MAX {
            return Err(Unexpandable::TooLong);
        }
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    scalar.text = Cow::Owned(out);
    scalar.hidden |= hidden;
    Ok(())
}

fn is_variable(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}
