//! The journal: an append-only file of hash-chained records. Whatever is acknowledged was synced to disk before.
//!
//! Layout of a record: its length (four bytes, most significant first), the record as JSON, and the chain's hash,
//! `SHA-256("claviger-journal-v1\n" || hash before || number || JSON)`. Tampering with it buys a signer that does not start,
//! or, if the whole file is exchanged for an older one, a signer that its peers do not admit.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use types::Digest;

use crate::record::Record;

/// Longest record, in bytes.
const RECORD_BYTES_MAX: usize = 4 << 20;
const HASH_BYTES: usize = 32;
const LENGTH_BYTES: usize = 4;

/// The file with the chain's state.
#[derive(Debug)]
pub struct Journal {
    /// None for a trial, which writes nothing.
    file: Option<File>,
    /// Bytes of whole records.
    length: u64,
    /// Hash after each record; the first stands for the empty journal.
    hashes: Vec<Digest>,
    /// Set when a failed write could not be taken back: the file's end is unknown until the next start.
    broken: bool,
}

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk refuses.
    #[error("the journal cannot be read or written")]
    Disk(#[from] io::Error),
    /// A record is not what was written.
    #[error("record {seq} of the journal is damaged; restore the disk, never the journal alone")]
    Damaged {
        /// Which record.
        seq: u64,
    },
    /// Another process holds the journal.
    #[error("another process holds the journal")]
    Held,
    /// A write failed and could not be taken back.
    #[error("an earlier write failed half way; start the signer again once the disk is well")]
    Broken,
    /// A record is too long.
    #[error("a record of {0} bytes is too long")]
    TooLong(usize),
}

fn chain(before: &Digest, seq: u64, json: &[u8]) -> Digest {
    Digest::of(&[b"claviger-journal-v1\n", before.as_bytes(), &seq.to_be_bytes(), json])
}

impl Journal {
    /// Opens or creates the journal and reads every record. A tail that a crash cut is removed: it was never acknowledged.
    pub fn open(path: &Path) -> Result<(Journal, Vec<Record>), JournalError> {
        let mut records = Vec::new();
        let journal = Journal::replay(path, &mut |record| {
            records.push(record);
            Ok::<_, JournalError>(())
        })?;
        Ok((journal, records))
    }

    /// Does the same, and hands each record over as it is read, so that no more than one is in memory at a time.
    pub fn replay<E: From<JournalError>>(
        path: &Path,
        each: &mut dyn FnMut(Record) -> Result<(), E>,
    ) -> Result<Journal, E> {
        let file = open_alone(path)?;
        let (mut journal, tail) = Journal::follow(&file, each)?;
        journal.file = Some(file);
        journal.cut(tail).map_err(JournalError::Disk)?;
        Ok(journal)
    }

    /// Reads a journal, perhaps one that is in use, and then only pretends to write: for finding out what would come of something.
    pub fn trial<E: From<JournalError>>(
        path: &Path,
        each: &mut dyn FnMut(Record) -> Result<(), E>,
    ) -> Result<Journal, E> {
        let file = File::open(path).map_err(JournalError::Disk)?;
        Journal::follow(&file, each).map(|(journal, _)| journal)
    }

    /// The chain, and how many bytes of a cut tail follow it.
    fn follow<E: From<JournalError>>(
        file: &File,
        each: &mut dyn FnMut(Record) -> Result<(), E>,
    ) -> Result<(Journal, u64), E> {
        let mut left = file.metadata().map_err(JournalError::Disk)?.len();
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let (mut length, mut hashes) = (0, vec![Digest::from_bytes([0; HASH_BYTES])]);
        let mut head = Digest::from_bytes([0; HASH_BYTES]);
        while let Some((json, hash, bytes)) = next(&mut reader, left).map_err(JournalError::Disk)? {
            let seq = u64::try_from(hashes.len()).unwrap_or(u64::MAX);
            head = chain(&head, seq, &json);
            let record = serde_json::from_slice(&json).ok().filter(|_| *head.as_bytes() == hash);
            each(record.ok_or(JournalError::Damaged { seq })?)?;
            hashes.push(head);
            length += bytes;
            left -= bytes;
        }
        Ok((Journal { file: None, length, hashes, broken: false }, left))
    }

    /// Removes a tail of so many bytes and stands at the end of the last whole record.
    fn cut(&mut self, tail: u64) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        if tail > 0 {
            file.set_len(self.length)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(self.length)).map(|_| ())
    }

    /// Number of the newest record; 0 when there is none.
    pub fn seq(&self) -> u64 {
        u64::try_from(self.hashes.len()).unwrap_or(u64::MAX).saturating_sub(1)
    }

    /// Hash after the newest record.
    pub fn head(&self) -> Digest {
        self.hashes.last().copied().unwrap_or(Digest::from_bytes([0; HASH_BYTES]))
    }

    /// Hash after record `seq`.
    pub fn hash_at(&self, seq: u64) -> Option<Digest> {
        usize::try_from(seq).ok().and_then(|position| self.hashes.get(position)).copied()
    }

    /// Writes a record and returns when the disk has it. On failure nothing is remembered and the file is as before.
    pub fn append(&mut self, record: &Record) -> Result<u64, JournalError> {
        if self.broken {
            return Err(JournalError::Broken);
        }
        let json = serde_json::to_vec(record).map_err(io::Error::other)?;
        let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= RECORD_BYTES_MAX);
        let length = length.ok_or(JournalError::TooLong(json.len()))?;
        let seq = self.seq() + 1;
        let hash = chain(&self.head(), seq, &json);
        let mut bytes = Vec::with_capacity(json.len() + HASH_BYTES + LENGTH_BYTES);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&json);
        bytes.extend_from_slice(hash.as_bytes());
        // A crash before the sync returns leaves a tail that is cut at the next start, or a whole record that nobody was
        // told of: an intent without a signature, which is safe.
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(&bytes).and_then(|()| file.sync_data()));
        if let Err(error) = written {
            self.take_back();
            return Err(error.into());
        }
        self.length += u64::try_from(bytes.len()).unwrap_or_default();
        self.hashes.push(hash);
        Ok(seq)
    }

    fn take_back(&mut self) {
        let Some(file) = self.file.as_mut() else { return };
        let undone = file
            .set_len(self.length)
            .and_then(|()| file.seek(SeekFrom::Start(self.length)))
            .and_then(|_| file.sync_data());
        self.broken = undone.is_err();
    }
}

/// Opens or creates the file, for this process alone.
fn open_alone(path: &Path) -> Result<File, JournalError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.try_lock().map_err(|_| JournalError::Held)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

/// A whole record: JSON, hash, and its bytes in the file.
type Whole = (Vec<u8>, [u8; HASH_BYTES], u64);

/// Reads the next whole record of the `left` bytes that the file still has; none when what is left is not a whole one.
fn next(reader: &mut impl Read, left: u64) -> io::Result<Option<Whole>> {
    let frame = (LENGTH_BYTES + HASH_BYTES) as u64;
    let mut length = [0; LENGTH_BYTES];
    if left < frame {
        return Ok(None);
    }
    reader.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    let bytes = frame + u64::from(length);
    if left < bytes {
        return Ok(None);
    }
    let (mut json, mut hash) = (vec![0; usize::try_from(length).unwrap_or(usize::MAX)], [0; HASH_BYTES]);
    reader.read_exact(&mut json)?;
    reader.read_exact(&mut hash)?;
    Ok(Some((json, hash, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Event;

    fn record(at: i64) -> Record {
        Record { at, event: Event::Beat }
    }

    #[test]
    fn records_outlive_a_restart_and_a_cut_tail_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, records) = Journal::open(&path).unwrap();
        assert!(records.is_empty());
        for at in 1..=3 {
            assert_eq!(journal.append(&record(at)).unwrap(), u64::try_from(at).unwrap());
        }
        let head = journal.head();
        assert!(matches!(Journal::open(&path), Err(JournalError::Held)));
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let one = whole.len() / 3;
        for cut in 1..one {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let (journal, records) = Journal::open(&path).unwrap();
            assert_eq!((records.len(), journal.seq()), (2, 2), "cut {cut}");
        }
        std::fs::write(&path, &whole).unwrap();
        let (journal, records) = Journal::open(&path).unwrap();
        assert_eq!((records, journal.head()), (vec![record(1), record(2), record(3)], head));
    }

    #[test]
    fn t05_any_changed_byte_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        for at in 1..=3 {
            journal.append(&record(at)).unwrap();
        }
        let head = journal.head();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for position in 0..whole.len() {
            let mut changed = whole.clone();
            changed[position] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            // Either the start fails, or what is left is shorter than what peers remember: a changed length looks like a cut.
            if let Ok((journal, _)) = Journal::open(&path) {
                assert!(journal.seq() < 3 && journal.head() != head, "byte {position}");
            }
        }
    }
}
