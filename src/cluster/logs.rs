//! Reads the log of a container line by line, and follows it while the container runs.

use super::{
    ApiResult, Cluster,
    requests::{self, Call},
    transport::Chunks,
};
use futures::stream::{BoxStream, unfold};
use futures::{Stream, StreamExt};
use std::collections::VecDeque;

/// A longer line is split, so that a container cannot fill the memory.
const LONGEST: usize = 64 << 10;

/// Which lines of a log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogLines {
    /// Number of recent lines to begin with. `None` begins with the first line.
    pub tail: Option<u32>,
    /// Whether to follow the log while the container runs.
    pub follow: bool,
    /// Whether to read the log of the run before a restart.
    pub previous: bool,
}

impl Cluster {
    /// Opens the log of a container. It ends with the container's run, or with the connection.
    pub async fn log_lines(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        lines: LogLines,
    ) -> ApiResult<BoxStream<'static, String>> {
        let flag = |is_set: bool| if is_set { "true" } else { "" };
        let tail = lines.tail.map(|it| it.to_string()).unwrap_or_default();
        let path = format!(
            "{}/log",
            requests::path("v1", "pods", Some(namespace), Some(pod))
        );
        let path = requests::query(
            path,
            &[
                ("container", container),
                ("tailLines", &tail),
                ("follow", flag(lines.follow)),
                ("previous", flag(lines.previous)),
            ],
        );
        let words = format!("read the log of Pod {namespace}/{pod}");
        let call = Call::get("get", path, words).accept("*/*");
        let chunks = self.inner.transport.open(&call).await?;
        Ok(split(chunks).boxed())
    }
}

fn split(chunks: Chunks) -> impl Stream<Item = String> {
    let state = (chunks.fuse(), Splitter::default());
    unfold(state, |(mut chunks, mut splitter)| async move {
        loop {
            if let Some(line) = splitter.ready.pop_front() {
                return Some((line, (chunks, splitter)));
            }
            match chunks.next().await {
                Some(Ok(bytes)) => splitter.push(&bytes),
                Some(Err(_)) | None => {
                    let line = splitter.rest()?;
                    return Some((line, (chunks, splitter)));
                }
            }
        }
    })
}

/// Assembles lines from chunks of bytes.
#[derive(Default)]
struct Splitter {
    line: Vec<u8>,
    ready: VecDeque<String>,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= LONGEST {
                let line = self.rest();
                self.ready.extend(line);
            }
        }
    }

    /// The line without its end; `None` if there is none.
    fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return None;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Some(String::from_utf8_lossy(line).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        pieces.iter().for_each(|piece| splitter.push(piece));
        let rest = splitter.rest();
        splitter.ready.into_iter().chain(rest).collect()
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        assert_eq!(
            lines(&[b"one\ntw", b"o\r\n\nthree"]),
            ["one", "two", "", "three"]
        );
        assert_eq!(lines(&[]), [""; 0]);
        // A character in two pieces.
        assert_eq!(lines(&[&"ä".as_bytes()[..1], &"ä".as_bytes()[1..]]), ["ä"]);
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let all = lines(&vec![&[b'x'; 1000][..]; 200]);
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|line| line.len() < LONGEST + 1000));
        assert_eq!(all.concat().len(), 200_000);
    }
}
