use super::bytewords::{self, crc32};
use super::cbor::{self, HEAD_BYTES_MAX, Part};
use super::equations::Equations;
use super::mixing::Chooser;
use super::{FRAGMENTS_MAX, KIND_LENGTH_MAX, PAYLOAD_BYTES_MAX, UrError, is_kind};

/// Longest part beside the letters of its bytes: scheme, kind, numbers, and what CBOR and the checksum add.
const PART_OVERHEAD: usize = 2 * (6 * HEAD_BYTES_MAX + 4) + KIND_LENGTH_MAX + 32;

/// How far a reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Parts that said something new. Each brings the message one step nearer, mixed or not.
    pub received: usize,
    /// As many as that are needed.
    pub needed: usize,
}

/// What a part brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Not yet all. `new` is whether this part said something that was not known.
    NotYet {
        /// Whether it helped.
        new: bool,
        /// How far the reading has come.
        progress: Progress,
    },
    /// The payload, given this once.
    Whole(Vec<u8>),
    /// A part of the message that was given already.
    AlreadyGiven,
}

/// Collects the parts of one message of one kind, in any order, some twice and some never.
///
/// The first part that is taken says which message it is; those of others are refused. The payload's length is bounded before
/// anything is kept, and what is kept never exceeds the message and half a kilobyte per fragment, however many parts come.
pub struct Collector {
    kind: String,
    payload_bytes_max: usize,
    reading: Option<Reading>,
}

/// What all parts of a message have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Message {
    count: u32,
    length: u32,
    checksum: u32,
    fragment_bytes: usize,
}

struct Reading {
    message: Message,
    chooser: Chooser,
    /// None when the payload was given.
    equations: Option<Equations>,
}

impl Collector {
    /// For messages of this kind, with at most [`PAYLOAD_BYTES_MAX`] of payload.
    ///
    /// # Errors
    /// [`UrError::KindName`].
    pub fn new(kind: &str) -> Result<Collector, UrError> {
        Collector::with_limit(kind, PAYLOAD_BYTES_MAX)
    }

    /// The same with a lower bound on the payload, in bytes.
    ///
    /// # Errors
    /// [`UrError::KindName`].
    pub fn with_limit(kind: &str, payload_bytes_max: usize) -> Result<Collector, UrError> {
        if !is_kind(kind) {
            return Err(UrError::KindName);
        }
        let payload_bytes_max = payload_bytes_max.min(PAYLOAD_BYTES_MAX);
        Ok(Collector { kind: kind.to_owned(), payload_bytes_max, reading: None })
    }

    /// How far the reading has come; nothing before the first part. All is received once the payload was given.
    pub fn progress(&self) -> Option<Progress> {
        self.reading.as_ref().map(Reading::progress)
    }

    /// Takes the text of one QR code, in either case.
    ///
    /// # Errors
    /// Every [`UrError`] but those of the caller's own making. When the message turned out unusable ([`UrError::Contradiction`],
    /// [`UrError::NotBytes`]) the reading begins anew; otherwise it stands as it did.
    pub fn receive(&mut self, text: &str) -> Result<Received, UrError> {
        let limit = self.payload_bytes_max;
        if text.len() > 2 * limit + PART_OVERHEAD {
            return Err(UrError::TooLong { bytes: text.len() / 2, limit });
        }
        let (place, letters) = self.open(text.trim())?;
        let body = bytewords::read(letters).ok_or(UrError::Misread)?;
        match place {
            None => self.whole(&body),
            Some(place) => {
                let part = Part::read(&body).ok_or(UrError::Form)?;
                if place != format!("{}-{}", part.number, part.count) {
                    return Err(UrError::Form);
                }
                self.part(part)
            }
        }
    }

    /// Scheme and kind; what is left are the part's place among all, if it has one, and its letters.
    fn open<'a>(&self, text: &'a str) -> Result<(Option<&'a str>, &'a str), UrError> {
        let (scheme, rest) = text.split_at_checked(3).ok_or(UrError::NotUr)?;
        if !scheme.eq_ignore_ascii_case("ur:") {
            return Err(UrError::NotUr);
        }
        let (kind, rest) = rest.split_once('/').ok_or(UrError::Form)?;
        if !kind.eq_ignore_ascii_case(&self.kind) {
            // What others write is repeated only when it is a name.
            let found = Some(kind.to_ascii_lowercase()).filter(|kind| is_kind(kind)).ok_or(UrError::Form)?;
            return Err(UrError::OtherKind { expected: self.kind.clone(), found });
        }
        Ok(rest.split_once('/').map_or((None, rest), |(place, letters)| (Some(place), letters)))
    }

    /// A message in one part.
    fn whole(&mut self, body: &[u8]) -> Result<Received, UrError> {
        let length = self.bounded(body.len())?;
        let message = Message { count: 1, length, checksum: crc32(body), fragment_bytes: body.len() };
        match &self.reading {
            Some(reading) if reading.message != message => return Err(UrError::OtherMessage),
            Some(Reading { equations: None, .. }) => return Ok(Received::AlreadyGiven),
            _ => {}
        }
        let payload = cbor::byte_string(body).ok_or(UrError::NotBytes)?.to_vec();
        let chooser = Chooser::new(1, message.checksum);
        self.reading = Some(Reading { message, chooser, equations: None });
        Ok(Received::Whole(payload))
    }

    fn part(&mut self, part: Part) -> Result<Received, UrError> {
        let message = self.message(&part)?;
        let count = usize::try_from(message.count).map_err(|_| UrError::Form)?;
        let reading = self.reading.get_or_insert_with(|| Reading {
            message,
            chooser: Chooser::new(count, message.checksum),
            equations: Some(Equations::new(count)),
        });
        if reading.message != message {
            return Err(UrError::OtherMessage);
        }
        let Some(equations) = reading.equations.as_mut() else { return Ok(Received::AlreadyGiven) };
        let added = equations.add(&reading.chooser.choose(part.number), part.data);
        match added {
            Ok(new) if equations.rank() < count => Ok(Received::NotYet { new, progress: reading.progress() }),
            Ok(_) => self.finish(),
            Err(_) => {
                self.reading = None;
                Err(UrError::Contradiction)
            }
        }
    }

    /// What the part says of its message, when that is possible and within bounds.
    fn message(&self, part: &Part) -> Result<Message, UrError> {
        let wide = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let (count, length, fragment_bytes) = (wide(part.count), wide(part.length), part.data.len());
        if count > FRAGMENTS_MAX {
            return Err(UrError::TooManyParts(count));
        }
        self.bounded(length)?;
        // Every fragment holds something of the message, and together they hold all of it.
        let fits = fragment_bytes > 0 && count > 0 && length.div_ceil(fragment_bytes) == count;
        if part.number == 0 || !fits {
            return Err(UrError::Form);
        }
        Ok(Message { count: part.count, length: part.length, checksum: part.checksum, fragment_bytes })
    }

    fn bounded(&self, length: usize) -> Result<u32, UrError> {
        let limit = self.payload_bytes_max;
        let within = u32::try_from(length).ok().filter(|_| length <= cbor::wrapped_length(limit));
        within.ok_or(UrError::TooLong { bytes: length, limit })
    }

    fn finish(&mut self) -> Result<Received, UrError> {
        let payload = self.reading.as_mut().ok_or(UrError::Contradiction).and_then(Reading::payload);
        if payload.is_err() {
            self.reading = None;
        }
        payload.map(Received::Whole)
    }
}

impl Reading {
    fn progress(&self) -> Progress {
        let needed = usize::try_from(self.message.count).unwrap_or(usize::MAX);
        let received = self.equations.as_ref().map_or(needed, Equations::rank);
        Progress { received, needed }
    }
    /// Solves for the message, once, and opens it.
    fn payload(&mut self) -> Result<Vec<u8>, UrError> {
        let mut message = self.equations.take().and_then(Equations::solve).ok_or(UrError::Contradiction)?;
        let length = usize::try_from(self.message.length).map_err(|_| UrError::Form)?;
        let filled = message.iter().skip(length).all(|byte| *byte == 0);
        message.truncate(length);
        if !filled || crc32(&message) != self.message.checksum {
            return Err(UrError::Contradiction);
        }
        cbor::byte_string(&message).map(<[u8]>::to_vec).ok_or(UrError::NotBytes)
    }
}
