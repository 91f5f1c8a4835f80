use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest frame, in bytes. A transaction of 500 inputs with ordinary previous transactions fits.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// Why a frame was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection broke or timed out.
    #[error("the connection failed")]
    Connection(#[from] io::Error),
    /// Longer than allowed.
    #[error("a frame of {0} bytes is longer than {FRAME_BYTES_MAX}")]
    TooLong(usize),
    /// Not a message of this version.
    #[error("the message cannot be read: {0}")]
    Message(String),
}

/// Writes a message as the bytes of a frame's content.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let bytes = serde_json::to_vec(message).map_err(|error| FrameError::Message(error.to_string()))?;
    if bytes.len() > FRAME_BYTES_MAX { Err(FrameError::TooLong(bytes.len())) } else { Ok(bytes) }
}

/// Reads a message from a frame's content.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(bytes).map_err(|error| FrameError::Message(error.to_string()))
}

/// Writes one frame: the length as four bytes, most significant first, then the content.
pub fn write_frame(writer: &mut impl Write, content: &[u8]) -> Result<(), FrameError> {
    let length = u32::try_from(content.len()).ok().filter(|_| content.len() <= FRAME_BYTES_MAX);
    let length = length.ok_or(FrameError::TooLong(content.len()))?;
    writer.write_all(&length.to_be_bytes())?;
    writer.write_all(content)?;
    writer.flush().map_err(FrameError::from)
}

/// Reads one frame; nothing when the other side closed the connection between two.
pub fn read_frame(reader: &mut impl Read) -> Result<Option<Vec<u8>>, FrameError> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    // The buffer grows with what arrives, so that a lying length costs its sender bytes and us nothing.
    let mut content = Vec::new();
    let limit = u64::try_from(length).unwrap_or(u64::MAX);
    reader.take(limit).read_to_end(&mut content)?;
    if content.len() == length {
        return Ok(Some(content));
    }
    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lying_lengths_are_refused() {
        let mut too_long = &[0xff, 0xff, 0xff, 0xff, 1][..];
        assert!(matches!(read_frame(&mut too_long), Err(FrameError::TooLong(_))));
        let mut cut = &[0, 0, 0, 9, 1, 2][..];
        assert!(matches!(read_frame(&mut cut), Err(FrameError::Connection(_))));
        assert!(matches!(read_frame(&mut &[][..]), Ok(None)));
    }

    proptest! {
        #[test]
        fn frames_follow_each_other(contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..5)) {
            let mut bytes = Vec::new();
            for content in &contents {
                write_frame(&mut bytes, content).unwrap();
            }
            let mut reader = bytes.as_slice();
            for content in &contents {
                let read = read_frame(&mut reader).unwrap();
                prop_assert_eq!(read.as_ref(), Some(content));
            }
            prop_assert!(read_frame(&mut reader).unwrap().is_none());
        }
    }
}
