//! Compressed JSON, its limits, and its chunks.

use crate::encoding::hex;
use crate::error::{Error, Result};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::io::{BufWriter, Read};

/// Maximum size of the data in one ConfigMap or Secret. The API server allows 1 MiB in total, of
/// which names and labels need a part.
pub const CHUNK: usize = 900 * 1024;

/// Limit on the unpacked size, in case a record was manipulated. The largest stored chart has 64
/// MiB, which is 86 MiB in base64.
pub(super) const LARGEST_PAYLOAD: u64 = 128 << 20;

/// Limit on the number of values. A value takes at least 2 bytes of text, but 100 bytes of memory.
/// The 0.4 MiB of text of 1,000 objects cannot contain a tenth of this number.
pub(super) const MOST_VALUES: usize = 4_000_000;

/// Limit on the number of parts of a record, so that a manipulated number does not cause many
/// requests.
pub const MOST_PARTS: usize = LARGEST_PAYLOAD as usize / CHUNK + 2;

pub(super) fn damaged(error: serde_json::Error) -> Error {
    Error::user("the record is damaged").why(error.to_string())
}

/// Serializes a value to compressed JSON.
pub fn pack(value: &impl Serialize) -> Vec<u8> {
    let mut encoder = BufWriter::new(GzEncoder::new(Vec::new(), Compression::new(6)));
    serde_json::to_writer(&mut encoder, value).expect("plain data has a JSON form");
    let encoder = encoder.into_inner().expect("memory takes every byte");
    encoder.finish().expect("memory takes every byte")
}

/// Reverses [`pack`].
pub fn unpack<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(&unpack_text(bytes)?).map_err(damaged)
}

pub(super) fn unpack_text(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = GzDecoder::new(bytes)
        .take(LARGEST_PAYLOAD + 1)
        .read_to_end(&mut text);
    read.map_err(|error| {
        Error::user("the record is damaged").why(format!("cannot unpack it: {error}"))
    })?;
    if !is_readable(text.len() as u64, values_in(&text)) {
        return Err(Error::user("the record is damaged")
            .why("it unpacks to more than the limit of a record"));
    }
    Ok(text)
}

pub(super) fn is_readable(size: u64, values: usize) -> bool {
    size <= LARGEST_PAYLOAD && values <= MOST_VALUES
}

/// Returns an upper bound of the number of values in JSON text. Each value follows the beginning of
/// a list or map, a comma or a key.
pub(super) fn values_in(json: &[u8]) -> usize {
    let (mut values, mut quoted, mut bytes) = (0, false, json.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => drop(bytes.next()),
            b',' | b'[' | b'{' if !quoted => values += 1,
            _ => {}
        }
    }
    values
}

/// Splits bytes into at least one chunk: the first of at most `first` bytes, the others of at most
/// [`CHUNK`].
pub fn chunks(bytes: &[u8], first: usize) -> Vec<&[u8]> {
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    std::iter::once(head).chain(rest.chunks(CHUNK)).collect()
}

/// Returns the SHA-256 digest in lower-case hex.
pub fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(bytes))
}
