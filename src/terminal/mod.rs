//! The only room that prints. stdout has the result of a command; stderr has its progress, warnings
//! and errors.
//!
//! All output is escaped here ([`Text`]), so that no command can forget it. Text from a record, an
//! object, a log or a file name cannot control the user's terminal.
//!
//! If the reader of stdout exits (`| head -1`), the remaining output is dropped, and the command
//! ends normally.

mod progress;
mod report;
pub mod table;
mod text;
pub mod time;
mod width;

pub use table::Table;
pub use text::{Text, harmless, is_harmful, one_line};

use crate::commands::arguments::Format;
use crate::deploy::Progress;
use crate::error::{Error, Result, without_passwords};
use crate::yaml;
use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use indicatif::MultiProgress;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use text::harmless_json;

pub const BOLD: Style = Style::new().bold();
pub const RED: Style = AnsiColor::Red.on_default();
pub const GREEN: Style = AnsiColor::Green.on_default();
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
pub const CYAN: Style = AnsiColor::Cyan.on_default();

/// The output of a command. Always writes colours, which are removed for pipes and with NO_COLOR.
#[derive(Debug, Default)]
pub struct Terminal {
    /// Whether the reader of stdout has exited.
    closed: AtomicBool,
    /// `--events json`: stderr has only lines of JSON.
    events: AtomicBool,
    /// `-o json`: errors are JSON.
    json: bool,
    clock: Clock,
    /// The moving view on stderr, if there is one. Lines are printed above it.
    screen: Mutex<Option<(MultiProgress, progress::Screen)>>,
}

/// The clock. `main.rs` reads it once, and later times are computed from the time elapsed since.
#[derive(Clone, Copy, Debug, Default)]
struct Clock(Option<(Timestamp, Instant)>);

impl Clock {
    fn now(self) -> Option<String> {
        let (start, began) = self.0?;
        let elapsed = jiff::SignedDuration::try_from(began.elapsed()).ok()?;
        Some(time::rfc3339(start.checked_add(elapsed).ok()?))
    }
}

impl Terminal {
    /// Returns the terminal of a command with this start time and output format.
    pub fn new(now: Timestamp, format: Format) -> Terminal {
        Terminal {
            json: format.is_json(),
            clock: Clock(Some((now, Instant::now()))),
            ..Terminal::default()
        }
    }

    /// Switches stderr to one JSON object per line.
    pub fn stream_events(&self) {
        self.events.store(true, Ordering::Relaxed);
    }

    fn streams_events(&self) -> bool {
        self.events.load(Ordering::Relaxed)
    }

    /// Prints a result that may have styles.
    pub fn print(&self, text: impl Into<Text>) -> Result<()> {
        self.write(anstream::stdout().lock(), text.into().as_styled())
    }

    /// Prints a result without styles: manifests, notes, scripts. Harmless text is printed byte for
    /// byte.
    pub fn print_plain(&self, text: &str) -> Result<()> {
        self.write(io::stdout().lock(), &harmless(text))
    }

    /// Prints a document: JSON on one line, as Helm does, or YAML, or the output of a template.
    ///
    /// # Errors
    ///
    /// Fails for `-o name`, because the document has no names.
    pub fn print_document(&self, format: Format, document: &Value) -> Result<()> {
        match format {
            Format::Yaml => self.print_plain(&yaml::emit(document)),
            Format::Json | Format::Table | Format::Wide => {
                self.print_plain(&harmless_json(&format!("{document}\n")))
            }
            Format::JsonPath(path) => self.print_plain(&path.print(document)?),
            Format::Name => Err(Error::user(
                "-o name is not supported here: the result has no names",
            )
            .hint("use -o json for the whole result, or -o jsonpath=TEMPLATE for a part of it")),
        }
    }

    /// Prints a document that lists named objects.
    pub fn print_named(&self, format: Format, document: &Value) -> Result<()> {
        match format {
            Format::Name => self.print_plain(
                &names(document)
                    .iter()
                    .map(|name| format!("{name}\n"))
                    .collect::<String>(),
            ),
            format => self.print_document(format, document),
        }
    }

    /// Returns true if the reader of stdout has exited, so that printing on is in vain.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Prints files as a tar archive, for other programs. Their times are 1970, and only the user
    /// can read them once they are unpacked.
    ///
    /// # Errors
    ///
    /// Fails if stdout is a terminal.
    pub fn print_archive(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        if io::stdout().is_terminal() {
            return Err(Error::user("an archive is not written to a terminal")
                .hint("write it to a file or a program: `... --to - | tar x`"));
        }
        let archive = archive(files)
            .map_err(|error| Error::internal(format!("the archive could not be made: {error}")))?;
        self.write_bytes(io::stdout().lock(), &archive)
    }

    fn write(&self, stdout: impl Write, text: &str) -> Result<()> {
        self.write_bytes(stdout, text.as_bytes())
    }

    fn write_bytes(&self, mut stdout: impl Write, bytes: &[u8]) -> Result<()> {
        if self.is_closed() {
            return Ok(());
        }
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(Error::user(format!(
                "cannot write the result to standard output: {error}"
            ))),
            Ok(()) => Ok(()),
        }
    }

    /// Prints a note on stderr, in addition to the result.
    pub fn note(&self, text: &str) {
        if self.streams_events() {
            stderr_event(self.clock, json!({ "event": "note", "message": text }));
        } else {
            self.line(&width::fit_stderr(text).into());
        }
    }

    /// Prints a line on stderr, above the moving view.
    fn line(&self, text: &Text) {
        match &*self.screen.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((screen, _)) => screen.suspend(|| stderr_line(text)),
            None => stderr_line(text),
        }
    }

    /// Removes the moving view. Nothing draws after that.
    pub fn stand_still(&self) {
        if let Some((_, screen)) = self
            .screen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            screen.end();
        }
    }

    pub fn warn(&self, text: &str) {
        if self.streams_events() {
            stderr_event(self.clock, json!({ "event": "warning", "message": text }));
        } else {
            self.line(&labelled(YELLOW, "warning:", text));
        }
    }

    /// Reports an error.
    pub fn fail(&self, error: &Error) {
        if self.streams_events() || self.json {
            stderr_event(self.clock, report::event(error));
        } else {
            self.line(&report::text(error));
        }
    }

    /// Returns the progress output of an operation: a moving view on a terminal, lines in a pipe,
    /// or JSON with `--events json`.
    pub fn progress(&self) -> Box<dyn Progress> {
        if self.streams_events() {
            Box::new(progress::Stream(self.clock))
        } else if io::stderr().is_terminal() {
            let view = progress::View::new();
            *self.screen.lock().unwrap_or_else(PoisonError::into_inner) = Some(view.screen());
            Box::new(view)
        } else {
            Box::new(progress::Lines::new())
        }
    }

    /// Returns true if the terminal is interactive.
    pub fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal() && !self.streams_events()
    }

    /// Asks a question on the terminal. Returns true if the answer is exactly `expected`.
    pub fn ask(&self, question: &str, expected: &str) -> Result<bool> {
        let mut stderr = anstream::stderr().lock();
        let mut answer = String::new();
        write!(stderr, "{} ", one_line(question))
            .and_then(|()| stderr.flush())
            .and_then(|()| io::stdin().read_line(&mut answer))
            .map_err(|error| Error::user(format!("cannot ask on the terminal: {error}")))?;
        Ok(answer.trim() == expected)
    }
}

fn archive(files: &BTreeMap<String, Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o600);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content.as_slice())?;
    }
    archive.into_inner()
}

/// Writes a line to stderr in one write, because other programs may write there too. Ignores
/// errors, which could not be reported.
fn stderr_line(text: &Text) {
    let stderr = io::stderr();
    let mut line = AutoStream::new(Vec::new(), AutoStream::choice(&stderr));
    let _ = writeln!(line, "{}", without_passwords(text.as_styled()))
        .and_then(|()| stderr.lock().write_all(&line.into_inner()));
}

/// Writes an event with its time to stderr as a line of JSON, in one write instead of one per
/// token.
fn stderr_event(clock: Clock, event: Value) {
    let event = match (event, clock.now()) {
        (Value::Object(fields), Some(now)) => {
            let mut timed = Map::from_iter([("time".to_owned(), Value::String(now))]);
            timed.extend(fields);
            Value::Object(timed)
        }
        (event, _) => event,
    };
    let _ = io::stderr().lock().write_all(
        harmless_json(&format!("{}\n", without_passwords(&event.to_string()))).as_bytes(),
    );
}

/// Returns `warning: ...` with a coloured label, in lines that fit.
fn labelled(style: Style, label: &str, text: &str) -> Text {
    let whole = width::fit_stderr(&format!("{label} {text}"));
    let mut line = Text::default();
    line.push_styled(style, label);
    line.push(whole.strip_prefix(label).unwrap_or_default());
    line
}

/// Returns the names in a document: of releases, of revisions, or of objects in kubectl's form
/// (`statefulset.apps/peer0`).
fn names(document: &Value) -> Vec<String> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    match document {
        Value::String(name) => vec![name.clone()],
        Value::Array(items) => items.iter().flat_map(names).collect(),
        Value::Object(fields) => match (
            text("/kind"),
            text("/metadata/name").or(text("/name")),
            fields.get("revision"),
        ) {
            (Some(kind), Some(name), _) => {
                let group = text("/apiVersion")
                    .and_then(|version| version.split_once('/'))
                    .map(|(group, _)| format!(".{group}"));
                vec![format!(
                    "{}{}/{name}",
                    kind.to_lowercase(),
                    group.unwrap_or_default()
                )]
            }
            (None, Some(name), _) => vec![name.to_owned()],
            (_, None, Some(revision)) => vec![revision.to_string()],
            _ => fields
                .get("items")
                .or(fields.get("charts"))
                .map(names)
                .unwrap_or_default(),
        },
        _ => Vec::new(),
    }
}

/// Prints a message of the argument parser. Help and versions are results, everything else is an
/// error.
pub fn print_usage(error: &clap::Error) -> Result<()> {
    let text = error.render();
    match error.kind() {
        clap::error::ErrorKind::DisplayHelp
        | clap::error::ErrorKind::DisplayVersion
        | clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Terminal::default().write(anstream::stdout().lock(), &text.ansi().to_string())
        }
        _ => {
            // The message repeats arguments. An escape sequence in one looks like the parser's own
            // styles, so print without styles.
            let _ = match std::env::args_os()
                .any(|argument| argument.to_string_lossy().contains(is_harmful))
            {
                true => write!(
                    io::stderr().lock(),
                    "{}",
                    harmless(&without_passwords(&text.to_string()))
                ),
                false => write!(
                    anstream::stderr().lock(),
                    "{}",
                    without_passwords(&text.ansi().to_string())
                ),
            };
            Ok(())
        }
    }
}

/// A number and what it counts, such as "1 step" or "2 steps".
pub fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Reports a panic, which is a bug in this program, in one line, and exits with status 1.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let report = crash_report(panic.payload(), panic.location());
        stderr_line(&labelled(RED, "error:", &report));
        std::process::exit(1);
    }));
}

/// Returns the report of a panic.
///
/// Repeats only literal messages. A formatted message may contain a part of a value, such as the
/// message about an index inside a character.
fn crash_report(payload: &dyn Any, place: Option<&Location>) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| text.replace('\n', " "));
    let place = place
        .map(|place| format!(" ({}:{})", place.file(), place.line()))
        .unwrap_or_default();
    format!(
        "this is a bug in kubectl-fabric {}, please report it with the command you ran: {}{place}",
        env!("CARGO_PKG_VERSION"),
        message
            .as_deref()
            .unwrap_or("the message is omitted because it may contain a value")
    )
}

/// `-v LEVEL`: traces requests on stderr. Never shows bodies, which may be Secrets.
pub fn trace(level: u8) {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::prelude::*;
    let level = match level {
        0 => return,
        1..=3 => LevelFilter::WARN,
        4..=5 => LevelFilter::INFO,
        6..=7 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let mut ours = Targets::new().with_target("kubectl_fabric", level);
    // The client library logs mostly what this program logs itself, so it is included only at the
    // highest level.
    if level == LevelFilter::TRACE {
        ours = ours.with_target("kube_client", LevelFilter::DEBUG);
    }
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(|| Trace)
                .with_ansi(false),
        )
        .with(ours)
        .init();
}

/// stderr for traces, line by line, with escaping: the client library prints URLs unchanged.
struct Trace;

impl Write for Trace {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr()
            .lock()
            .write_all(harmless(&without_passwords(&String::from_utf8_lossy(line))).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    fn report_of(mistake: impl FnOnce() + std::panic::UnwindSafe) -> String {
        crash_report(
            &*catch_unwind(mistake).expect_err("a mistake"),
            Some(Location::caller()),
        )
    }

    #[test]
    fn a_crash_message_says_where_and_shows_no_value() {
        let (secret, bytes) = ("canary-é".to_owned(), b"canary-\xff".to_vec());
        let mistakes: [Box<dyn FnOnce() + std::panic::UnwindSafe>; 4] = [
            Box::new({
                let secret = secret.clone();
                move || _ = std::hint::black_box(&secret[..8])
            }),
            Box::new(move || _ = String::from_utf8(bytes).expect("text")),
            Box::new({
                let secret = secret.clone();
                move || _ = std::hint::black_box(Err::<u8, _>(secret)).unwrap()
            }),
            Box::new(move || panic!("not expected: {secret}")),
        ];
        for mistake in mistakes {
            let report = report_of(mistake);
            assert!(
                report.contains("please report it") && report.contains("src/terminal/mod.rs:"),
                "{report}"
            );
            assert!(
                !report.contains("canary") && !report.contains("99, 97"),
                "{report}"
            );
        }
        assert!(
            report_of(|| panic!("a text of the source")).contains("ran: a text of the source (")
        );
    }
}
