//! Streams of many bytes, and whether they are those that were written.

use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// Most bytes that are written or read at a time; the first is a bound of the interface.
const WRITE: usize = 4096;
const READ: u64 = 64 << 10;

/// The byte that a value made by [`write_many`] has at a place.
fn byte(place: u64) -> u8 {
    u8::try_from(place % 251).unwrap_or(0)
}

pub(crate) fn write(body: &OutputStream, bytes: &[u8]) -> Result<(), String> {
    bytes.chunks(WRITE).try_for_each(|piece| body.blocking_write_and_flush(piece).map_err(told))
}

/// Writes so many bytes.
pub(crate) fn write_many(body: &OutputStream, size: u64) -> Result<(), String> {
    let mut place = 0;
    while place < size {
        let end = size.min(place + WRITE as u64);
        let piece: Vec<u8> = (place..end).map(byte).collect();
        body.blocking_write_and_flush(&piece).map_err(told)?;
        place = end;
    }
    Ok(())
}

/// How many bytes there are, which must be those of [`write_many`].
pub(crate) fn count(stream: &InputStream) -> Result<u64, String> {
    let mut place = 0;
    loop {
        match stream.blocking_read(READ) {
            Ok(piece) => {
                for read in piece {
                    if read != byte(place) {
                        return Err(format!("another byte at {place}"));
                    }
                    place += 1;
                }
            }
            Err(StreamError::Closed) => return Ok(place),
            Err(error) => return Err(format!("after {place} bytes: {}", told(error))),
        }
    }
}

fn told(error: StreamError) -> String {
    match error {
        StreamError::Closed => "the stream is closed".to_owned(),
        StreamError::LastOperationFailed(error) => error.to_debug_string(),
    }
}
