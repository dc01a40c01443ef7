//! Writes YAML that every reader reads back as the same value. Maps and lists are in block style,
//! and keys keep their order.

use super::scalar;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::fmt::Write;

/// Longest key that is written without `? `.
///
/// YAML readers look for the `:` of a simple key only within 1024 characters.
const MAX_SIMPLE_KEY: usize = 1000;

/// Writes a value as block YAML with a final newline. Keys keep their order.
///
/// A list is indented like its key, as kubectl writes it. A string is plain if every YAML 1.1 and
/// 1.2 reader takes it for a string, a literal block if it has several lines, and double-quoted
/// otherwise.
pub fn emit(value: &Value) -> String {
    let mut out = String::new();
    emit_to(&mut out, value);
    out
}

/// Like [`emit`], but appends to `out`.
pub fn emit_to(out: &mut String, value: &Value) {
    match value {
        Value::Object(map) if !map.is_empty() => write_map(out, map, 0, false),
        Value::Array(list) if !list.is_empty() => write_list(out, list, 0, false),
        other => {
            write_inline(out, other, 1);
            out.push('\n');
        }
    }
}

/// Writes the entries of a map. With `inline`, the first entry follows a `- ` on the same line.
fn write_map(out: &mut String, map: &Map<String, Value>, depth: usize, mut inline: bool) {
    for (key, value) in map {
        if !std::mem::take(&mut inline) {
            indent(out, depth);
        }
        let start = out.len();
        write_string(out, key, depth, true);
        if out.len() - start > MAX_SIMPLE_KEY {
            out.insert_str(start, "? ");
            out.push('\n');
            indent(out, depth);
        }
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                write_map(out, inner, depth + 1, false);
            }
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                write_list(out, list, depth, false);
            }
            other => {
                out.push(' ');
                write_inline(out, other, depth + 1);
                out.push('\n');
            }
        }
    }
}

fn write_list(out: &mut String, list: &[Value], depth: usize, mut inline: bool) {
    for item in list {
        if !std::mem::take(&mut inline) {
            indent(out, depth);
        }
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => write_map(out, inner, depth + 1, true),
            Value::Array(inner) if !inner.is_empty() => write_list(out, inner, depth + 1, true),
            other => {
                write_inline(out, other, depth + 1);
                out.push('\n');
            }
        }
    }
}

/// Writes a value after a `: ` or a `- `. `depth` is the depth of the lines of a block.
fn write_inline(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_string(out, text, depth, false),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

fn write_number(out: &mut String, number: &Number) {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(value) => out.push_str(&scalar::float(value)),
        None => write!(out, "{number}").expect("a string takes all that is written"),
    }
}

fn indent(out: &mut String, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

fn write_string(out: &mut String, text: &str, depth: usize, key: bool) {
    if is_plain(text) {
        out.push_str(text);
    } else if !key && is_block(text) {
        write_block(out, text, depth);
    } else {
        write_quoted(out, text);
    }
}

/// Returns true if every reader takes the unquoted text for this string.
///
/// Text that could be a number, a date or a time is not plain.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let word = text.len() <= 5 && WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    let numeric = |c: char| {
        c.is_ascii_hexdigit()
            || matches!(
                c,
                'x' | 'X'
                    | 'o'
                    | 'O'
                    | '_'
                    | '.'
                    | ':'
                    | '+'
                    | '-'
                    | ','
                    | 't'
                    | 'T'
                    | 'z'
                    | 'Z'
                    | 'p'
                    | 'P'
                    | ' '
            )
    };
    let starts_well = first.is_alphanumeric() || matches!(first, '/' | '_' | '.' | '(' | '+' | '$' | '^' | ';' | '\\')
        // A dash before a letter starts an argument (`--flag`). Before anything else it could start
        // a list or a document.
        || first == '-' && text.trim_start_matches('-').starts_with(|c: char| c.is_alphabetic());
    // Three dots at the start of a line end a document.
    starts_well
        && !text.starts_with("...")
        && !word
        && !((first.is_ascii_digit() || matches!(first, '+' | '-' | '.'))
            && text.chars().all(numeric))
        && !text.ends_with([' ', ':'])
        && is_plain_inside(text)
}

/// Returns true if no character inside the text is invisible or ends a plain scalar.
fn is_plain_inside(text: &str) -> bool {
    let is_ordinary = |byte: u8| matches!(byte, b'!'..=b'~' if byte != b'#' && byte != b':');
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(ordinary) = bytes[at..].iter().position(|byte| !is_ordinary(*byte)) {
        at += ordinary;
        match bytes[at] {
            b'#' if at == 0 || bytes[at - 1] == b' ' => return false,
            b':' if bytes.get(at + 1) == Some(&b' ') => return false,
            b' ' | b'#' | b':' => at += 1,
            0x80.. => {
                let c = text[at..].chars().next().unwrap_or_default();
                if !is_visible(c) || c.is_whitespace() {
                    return false;
                }
                at += c.len_utf8();
            }
            _ => return false,
        }
    }
    true
}

/// Words that some reader takes for a boolean, a null or a number, in lower case or upper case.
const WORDS: [&str; 15] = [
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", ".inf", ".nan", "nan", "inf",
    "+.inf", "-.inf",
];

/// Escapes the characters that JSON allows in strings, but that YAML refuses or takes for a line
/// break.
pub fn json_for_yaml(json: &str) -> Cow<'_, str> {
    if json.bytes().all(|byte| matches!(byte, b' '..=b'~')) || json.chars().all(is_visible) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match is_visible(c) {
            true => escaped.push(c),
            false => {
                write!(escaped, "\\u{:04x}", c as u32).expect("a string takes all that is written")
            }
        }
    }
    Cow::Owned(escaped)
}

/// Characters that change the direction of writing, so that text looks like other text (Unicode
/// Standard Annex 9, table 1).
pub fn turns_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns true if a character is printable and never a line break.
///
/// YAML 1.1 breaks lines at U+0085, U+2028 and U+2029. Terminal control characters and characters
/// that change the direction of writing are not visible either.
fn is_visible(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    !(c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{fdd0}'
                ..='\u{fdef}'
        )
        || turns_text(c))
}

/// Returns true if a literal block can hold the text: it has several lines, no blanks at the ends
/// of lines, and no character to escape.
fn is_block(text: &str) -> bool {
    text.contains('\n')
        && text.contains(|c| c != '\n')
        && text.split('\n').all(|line| {
            !line.ends_with([' ', '\t']) && line.chars().all(|c| c == '\t' || is_visible(c))
        })
}

fn write_block(out: &mut String, text: &str, depth: usize) {
    out.push('|');
    // Without an indicator, the reader takes the indentation of the first line for that of the
    // block.
    if text.starts_with([' ', '\t', '\n']) {
        out.push('2');
    }
    let body = text.trim_end_matches('\n');
    match text.len() - body.len() {
        0 => out.push('-'),
        1 => {}
        _ => out.push('+'),
    }
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth);
            out.push_str(line);
        }
    }
    // The caller writes the last line break.
    for _ in 1..text.len() - body.len() {
        out.push('\n');
    }
}

fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c| matches!(c, '"' | '\\') || !is_visible(c)) {
        out.push_str(&rest[..at]);
        let c = rest[at..].chars().next().expect("one was found there");
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c => write!(out, "\\u{:04X}", c as u32).expect("a string takes all that is written"),
        }
        rest = &rest[at + c.len_utf8()..];
    }
    out.push_str(rest);
    out.push('"');
}
