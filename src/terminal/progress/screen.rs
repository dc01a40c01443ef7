//! Draws the moving view on stderr, frame by frame, and leaves room to the right of each line.
//!
//! indicatif pads its lines to the right edge and lets the terminal wrap them. If the terminal then
//! echoes `^C` on a line of its own, the next frame clears one line too few. Here, a line ends with
//! its text and a line feed.

use indicatif::TermLike;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use terminal_size::{Height, Width, terminal_size_of};

/// Room for `^C` twice.
const ROOM: u16 = 5;

#[derive(Clone)]
pub struct Screen(Arc<Shared>);

type Out = dyn Fn(&str) -> io::Result<()> + Send + Sync;

struct Shared {
    frame: Mutex<Frame>,
    size: Box<dyn Fn() -> (u16, u16) + Send + Sync>,
    out: Box<Out>,
}

/// The next frame and the one on the screen.
#[derive(Default)]
struct Frame {
    text: String,
    lines: usize,
    /// Whether the next text is padding.
    is_filler: bool,
    shown: usize,
    is_over: bool,
}

impl Screen {
    pub fn of_stderr() -> Screen {
        let size = || {
            terminal_size_of(io::stderr())
                .map_or((80, 24), |(Width(columns), Height(rows))| (columns, rows))
        };
        Screen::new(size, |text| {
            anstream::stderr().lock().write_all(text.as_bytes())
        })
    }

    fn new(
        size: impl Fn() -> (u16, u16) + Send + Sync + 'static,
        out: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static,
    ) -> Screen {
        Screen(Arc::new(Shared {
            frame: Mutex::default(),
            size: Box::new(size),
            out: Box::new(out),
        }))
    }

    /// Removes the view. Nothing is drawn after that.
    pub fn end(&self) {
        let mut frame = self.frame();
        if !std::mem::replace(&mut frame.is_over, true) && frame.shown > 0 {
            let _ = (self.0.out)(&format!(
                "\r\x1b[2K{}",
                "\x1b[1A\x1b[2K".repeat(frame.shown - 1)
            ));
        }
    }

    fn frame(&self) -> MutexGuard<'_, Frame> {
        self.0.frame.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, text: &str) -> io::Result<()> {
        let mut frame = self.frame();
        frame.text.push_str(text);
        Ok(())
    }

    fn turn(&self, by: usize, way: char) -> io::Result<()> {
        if by > 0 {
            self.add(&format!("\x1b[{by}{way}"))
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        (self.0.size)().0.saturating_sub(ROOM).max(1)
    }

    fn height(&self) -> u16 {
        (self.0.size)().1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.turn(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.turn(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.turn(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.turn(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(&format!("{text}\r\n"))
    }

    /// Receives a line of the frame or its padding, in turns.
    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut frame = self.frame();
        if std::mem::replace(&mut frame.is_filler, false) {
            return Ok(());
        }
        if frame.lines > 0 {
            frame.text.push_str("\r\n");
        }
        frame.text.push_str(text.trim_end());
        frame.lines += 1;
        frame.is_filler = true;
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let mut frame = self.frame();
        let text = std::mem::take(&mut frame.text);
        (frame.shown, frame.lines, frame.is_filler) = (frame.lines, 0, false);
        if frame.is_over {
            Ok(())
        } else {
            (self.0.out)(&text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

    const WIDTH: usize = 30;

    /// Returns the text on the screen of a terminal, by tracking the line and column of its cursor.
    fn shown(text: &str) -> Vec<String> {
        let (mut lines, mut row, mut column) = (vec![Vec::new()], 0, 0);
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\r' => column = 0,
                // The terminal's driver converts it to both.
                '\n' => (row, column) = (row + 1, 0),
                '\x1b' => {
                    let mut number = String::new();
                    let kind = characters.by_ref().skip(1).find(|c| {
                        c.is_ascii_alphabetic() || {
                            number.push(*c);
                            false
                        }
                    });
                    let by = number.parse::<usize>().unwrap_or(1);
                    match kind {
                        Some('A') => row -= by,
                        Some('B') => row += by,
                        Some('K') => lines[row].clear(),
                        _ => {}
                    }
                }
                other => {
                    if column == WIDTH {
                        (row, column) = (row + 1, 0);
                    }
                    lines.resize(lines.len().max(row + 1), Vec::new());
                    let line = &mut lines[row];
                    line.resize(line.len().max(column + 1), ' ');
                    line[column] = other;
                    column += 1;
                }
            }
            lines.resize(lines.len().max(row + 1), Vec::new());
        }
        lines
            .into_iter()
            .map(|line| line.into_iter().collect())
            .collect()
    }

    struct Test {
        text: Arc<Mutex<String>>,
        screen: Screen,
        bars: Vec<ProgressBar>,
        view: MultiProgress,
    }

    fn drawn() -> Test {
        let text: Arc<Mutex<String>> = Arc::default();
        let out = {
            let text = Arc::clone(&text);
            move |new: &str| {
                text.lock().unwrap().push_str(new);
                Ok(())
            }
        };
        let screen = Screen::new(|| (WIDTH as u16, 10), out);
        let view = MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(
            Box::new(screen.clone()),
            250,
        ));
        let bars: Vec<ProgressBar> = (0..2)
            .map(|_| view.add(ProgressBar::new_spinner()))
            .collect();
        for bar in &bars {
            bar.set_style(ProgressStyle::with_template("{wide_msg}").unwrap());
            bar.set_message(
                "waiting for a node with a name that is longer than the terminal is wide",
            );
            bar.tick();
        }
        Test {
            text,
            screen,
            bars,
            view,
        }
    }

    #[test]
    fn an_echo_of_the_interrupt_leaves_nothing_behind() {
        let test = drawn();
        let frame = shown(&test.text.lock().unwrap());
        assert_eq!(
            frame, ["waiting for a node with a"; 2],
            "one line each, cut"
        );
        test.text.lock().unwrap().push_str("^C");
        test.view
            .suspend(|| test.text.lock().unwrap().push_str("interrupted\n"));
        test.text.lock().unwrap().push_str("^C");
        test.bars.iter().for_each(ProgressBar::finish_and_clear);
        assert_eq!(shown(&test.text.lock().unwrap()), ["interrupted", "", ""]);
    }

    #[test]
    fn nothing_is_drawn_after_the_end() {
        let test = drawn();
        test.text.lock().unwrap().push_str("^C");
        test.screen.end();
        test.bars[0].set_message("late");
        test.bars[0].tick();
        test.bars.iter().for_each(ProgressBar::finish_and_clear);
        assert_eq!(shown(&test.text.lock().unwrap()), ["", ""]);
    }
}
