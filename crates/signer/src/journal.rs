//! The journal: an append-only file of hash-chained records. Whatever is acknowledged was synced to disk before.
//!
//! Layout of a record: its length (four bytes, most significant first), the record as JSON, and the chain's hash,
//! `SHA-256("claviger-journal-v1\n" || hash before || number || JSON)`. Tampering with it buys a signer that does not start,
//! or, if the whole file is exchanged for an older one, a signer that its peers do not admit.
//!
//! One thing at the end of the file is no damage: the record that was being appended when the machine died. It was never
//! acknowledged, is kept in a file of its own, and is cut. What could be anything else is not touched, and stops the start: a length
//! that was changed on the disk must not take the records behind it along.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use types::Digest;

use crate::record::{Event, Record};

/// Longest record, in bytes.
const RECORD_BYTES_MAX: usize = 4 << 20;
const HASH_BYTES: usize = 32;
const LENGTH_BYTES: usize = 4;
/// What every record's JSON begins with.
const BEGINNING: &[u8] = b"{\"at\":";

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
    /// Number of the newest record that tells of more than a peer's head.
    own: u64,
    /// Heads that were written for each peer since that record: how many, and when the newest.
    heads: BTreeMap<String, (u64, i64)>,
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
    /// Opens or creates the journal and reads every record. The one that was being appended when the machine died is removed: it was
    /// never acknowledged.
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
        journal.cut(path, tail).map_err(JournalError::Disk)?;
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

    /// The chain, and how many bytes of a torn record follow it.
    fn follow<E: From<JournalError>>(
        file: &File,
        each: &mut dyn FnMut(Record) -> Result<(), E>,
    ) -> Result<(Journal, u64), E> {
        let mut left = file.metadata().map_err(JournalError::Disk)?.len();
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let hashes = vec![Digest::from_bytes([0; HASH_BYTES])];
        let mut journal = Journal { file: None, length: 0, hashes, broken: false, own: 0, heads: BTreeMap::new() };
        while left > 0 {
            let seq = journal.seq() + 1;
            let (json, hash, bytes) = match next(&mut reader, left).map_err(JournalError::Disk)? {
                Next::Whole(whole) => whole,
                Next::Short(tail) if is_torn(&journal.head(), seq, &tail) => return Ok((journal, left)),
                Next::Zeros => return Ok((journal, left)),
                Next::Short(_) | Next::Nonsense => return Err(JournalError::Damaged { seq }.into()),
            };
            let head = chain(&journal.head(), seq, &json);
            let whole = *head.as_bytes() == hash;
            if !whole && is_unwritten(&json, &hash) && bytes == left {
                return Ok((journal, left));
            }
            let record = serde_json::from_slice(&json).ok().filter(|_| whole);
            let record: Record = record.ok_or(JournalError::Damaged { seq })?;
            journal.note(&record, seq);
            each(record)?;
            journal.hashes.push(head);
            journal.length += bytes;
            left -= bytes;
        }
        Ok((journal, 0))
    }

    /// Keeps a tail of so many bytes beside the journal, removes it, and stands at the end of the last whole record.
    fn cut(&mut self, path: &Path, tail: u64) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        if tail > 0 {
            let kept = keep(file, path, self.length)?;
            file.set_len(self.length)?;
            file.sync_all()?;
            eprintln!(
                "the journal ended with {tail} bytes of a record that was never acknowledged; they were cut and are kept in {}",
                kept.display()
            );
        }
        file.seek(SeekFrom::Start(self.length)).map(|_| ())
    }

    fn note(&mut self, record: &Record, seq: u64) {
        match &record.event {
            Event::Peer { signer, .. } => {
                let (count, at) = self.heads.entry(signer.clone()).or_default();
                (*count, *at) = (*count + 1, record.at);
            }
            _ => {
                self.own = seq;
                self.heads.clear();
            }
        }
    }

    /// Number of the newest record that tells of more than a peer's head; 0 when there is none.
    pub const fn own_seq(&self) -> u64 {
        self.own
    }

    /// How many heads of a peer were written since that record, and the time of the newest, in microseconds since 1970.
    pub fn heads_since(&self, peer: &str) -> (u64, i64) {
        self.heads.get(peer).copied().unwrap_or_default()
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
        self.note(record, seq);
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

/// Writes what the file has from `from` on into a new file beside it, on the disk before this returns.
fn keep(file: &mut File, journal: &Path, from: u64) -> io::Result<PathBuf> {
    file.seek(SeekFrom::Start(from))?;
    let name = journal.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // A start that died after keeping and before cutting leaves a file of the same name: it is not written over.
    let free = |number: &u32| {
        let more = if *number == 0 { String::new() } else { format!(".{number}") };
        let path = journal.with_file_name(format!("{name}.cut-{from}{more}"));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
            made => Some(made.map(|made| (path, made))),
        }
    };
    let (path, mut kept) = (0..=u32::MAX)
        .find_map(|number| free(&number))
        .unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::AlreadyExists)))?;
    let written = io::copy(file, &mut kept).and_then(|_| kept.sync_all());
    if let Err(error) = written {
        // Half a copy is worth nothing, and the next start makes another.
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    if let Some(directory) = journal.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(path)
}

/// A whole record: JSON, hash, and its bytes in the file.
type Whole = (Vec<u8>, [u8; HASH_BYTES], u64);

/// What stands where a record should.
enum Next {
    /// As many bytes as its length says.
    Whole(Whole),
    /// Fewer, to the end of the file, with the length in front.
    Short(Vec<u8>),
    /// Zeros to the end of the file: it was made longer and died before it was written to.
    Zeros,
    /// A length that no record has.
    Nonsense,
}

/// Reads what stands in the `left` bytes that the file still has.
fn next(reader: &mut impl Read, left: u64) -> io::Result<Next> {
    let frame = (LENGTH_BYTES + HASH_BYTES) as u64;
    let mut length = [0; LENGTH_BYTES];
    if left < LENGTH_BYTES as u64 {
        let mut tail = Vec::new();
        reader.take(left).read_to_end(&mut tail)?;
        return Ok(if only_zeros(&tail) { Next::Zeros } else { Next::Short(tail) });
    }
    reader.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length == 0 {
        return Ok(if zeros(reader, left - LENGTH_BYTES as u64)? { Next::Zeros } else { Next::Nonsense });
    }
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if size > RECORD_BYTES_MAX {
        return Ok(Next::Nonsense);
    }
    let bytes = frame + u64::from(length);
    if left < bytes {
        let mut tail = length.to_be_bytes().to_vec();
        reader.take(left - LENGTH_BYTES as u64).read_to_end(&mut tail)?;
        return Ok(Next::Short(tail));
    }
    let (mut json, mut hash) = (vec![0; size], [0; HASH_BYTES]);
    reader.read_exact(&mut json)?;
    reader.read_exact(&mut hash)?;
    Ok(Next::Whole((json, hash, bytes)))
}

fn only_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Whether the next `left` bytes are zeros.
fn zeros(reader: &mut impl Read, mut left: u64) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..size).unwrap_or_default();
        reader.read_exact(part)?;
        if !only_zeros(part) {
            return Ok(false);
        }
        left -= size as u64;
    }
    Ok(true)
}

/// Whether what stands at the end of the file, fewer bytes than its length says, is a record that was being appended. It is not when a
/// whole record could stand there whose length was changed: then JSON ends within it, or it does not begin as a record does.
fn is_torn(head: &Digest, seq: u64, tail: &[u8]) -> bool {
    let Some((length, content)) = tail.split_first_chunk::<LENGTH_BYTES>() else {
        // Not even the length is whole: it is one that a record can have, whatever was to follow.
        let mut least = [0; LENGTH_BYTES];
        least.iter_mut().zip(tail).for_each(|(byte, known)| *byte = *known);
        return usize::try_from(u32::from_be_bytes(least)).is_ok_and(|length| length <= RECORD_BYTES_MAX);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    match content.split_at_checked(length) {
        // The JSON is all there, and so is known what the hash's beginning must be.
        Some((json, hash)) => is_json(json) && chain(head, seq, json).as_bytes().starts_with(hash),
        None => is_beginning(written(content)),
    }
}

/// Whether a record of full size has zeros from somewhere in its JSON to its end: the file was made longer, and not all of it was written
/// before the machine died. JSON has no zeros, and no hash is nothing else.
fn is_unwritten(json: &[u8], hash: &[u8]) -> bool {
    let begun = written(json);
    begun.len() < json.len() && only_zeros(hash) && is_beginning(begun)
}

/// All but the zeros at the end.
fn written(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

fn is_json(json: &[u8]) -> bool {
    serde_json::from_slice::<Record>(json).is_ok()
}

/// Whether these are the first bytes of a record's JSON, and not all of it.
fn is_beginning(begun: &[u8]) -> bool {
    let alike = begun.iter().zip(BEGINNING).all(|(byte, known)| byte == known);
    // The writer escapes what is below a space; a hash or a length that follows JSON has such bytes.
    alike && begun.iter().all(|byte| *byte >= b' ') && !ends_within(begun)
}

/// Whether the object that begins here also ends here.
fn ends_within(bytes: &[u8]) -> bool {
    let (mut depth, mut text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            b'{' | b'[' if !text => depth += 1,
            b'}' | b']' if !text => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
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

    /// A journal of several records of different length and content.
    fn several(path: &Path) -> (Vec<u8>, Vec<usize>) {
        let (mut journal, _) = Journal::open(path).unwrap();
        let (mut ends, reason) = (vec![0], r#"a "}" in \ text, and é"#.to_owned());
        let events = [
            Event::Beat,
            Event::Frozen { latch: "all".to_owned(), reason },
            Event::Peer { signer: "s2".to_owned(), seq: 7, hash: "ab".repeat(32) },
            Event::Keys { moves: vec![], by: crate::record::By::default() },
        ];
        for (at, event) in (1..).zip(events) {
            journal.append(&Record { at, event }).unwrap();
            ends.push(usize::try_from(journal.length).unwrap());
        }
        drop(journal);
        (std::fs::read(path).unwrap(), ends)
    }

    /// How many records a journal of these bytes has; none when it does not start.
    fn starts(path: &Path, bytes: &[u8]) -> Option<usize> {
        std::fs::write(path, bytes).unwrap();
        match Journal::open(path) {
            Ok((_, records)) => Some(records.len()),
            Err(JournalError::Damaged { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The same, by reading alone: nothing is synced, so that there is time for every bit.
    fn reads(path: &Path, bytes: &[u8]) -> Option<u64> {
        std::fs::write(path, bytes).unwrap();
        match Journal::trial(path, &mut |_| Ok(())) {
            Ok(journal) => Some(journal.seq()),
            Err(JournalError::Damaged { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn t05_any_changed_byte_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let (path, one) = (directory.path().join("journal"), directory.path().join("one"));
        let (whole, _) = several(&path);
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[position] ^= 1 << bit;
                assert_eq!(reads(&one, &changed), None, "bit {bit} of byte {position}");
                assert!(bit != 0 || starts(&one, &changed).is_none(), "byte {position}");
                assert_eq!(std::fs::read(&one).unwrap(), changed, "what is damaged is not touched");
            }
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "nothing was cut");
    }

    #[test]
    fn t05_a_changed_length_takes_no_whole_record_along() {
        let directory = tempfile::tempdir().unwrap();
        let (path, one) = (directory.path().join("journal"), directory.path().join("one"));
        let (whole, ends) = several(&path);
        // Behind the whole records stands a torn one: a bit that flips in those is damage, one within the torn record at worst cuts it.
        for torn in [ends[3] + 2, ends[3] + 5, ends[3] + 30, whole.len() - 33, whole.len() - 20, whole.len() - 1] {
            assert_eq!(reads(&one, &whole[..torn]), Some(3), "torn after {torn} bytes");
            for position in 0..torn {
                for bit in 0..8 {
                    let mut changed = whole[..torn].to_vec();
                    changed[position] ^= 1 << bit;
                    let outcome = reads(&one, &changed);
                    let fine = outcome.is_none() || (position >= ends[3] && outcome == Some(3));
                    assert!(fine, "bit {bit} of byte {position}, torn after {torn}: {outcome:?}");
                }
            }
        }
        // Whatever else a length is changed to, in the middle or in the last record.
        for (record, begin) in ends.iter().take(4).enumerate() {
            for length in (0..2000_u32).chain([1 << 22, (1 << 22) + 1, u32::MAX]) {
                let mut changed = whole.clone();
                changed[*begin..begin + 4].copy_from_slice(&length.to_be_bytes());
                let outcome = reads(&one, &changed);
                assert!(changed == whole || outcome.is_none(), "record {record} as long as {length}: {outcome:?}");
            }
        }
    }

    #[test]
    fn a_record_that_was_being_appended_is_kept_and_cut_wherever_it_was_torn() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (whole, ends) = several(&path);
        for length in 0..whole.len() {
            let (place, before) =
                (directory.path().join(format!("{length}")), ends.partition_point(|end| *end <= length) - 1);
            std::fs::create_dir(&place).unwrap();
            let one = place.join("journal");
            assert_eq!(starts(&one, &whole[..length]), Some(before), "{length} bytes");
            assert_eq!(std::fs::read(&one).unwrap(), whole[..ends[before]]);
            let kept = place.join(format!("journal.cut-{}", ends[before]));
            assert_eq!(kept.exists(), length > ends[before]);
            if kept.exists() {
                assert_eq!(std::fs::read(&kept).unwrap(), whole[ends[before]..length]);
                assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            }
            // The same again, and what was kept before stays.
            assert_eq!(starts(&one, &whole[..length]), Some(before));
            assert_eq!(place.join(format!("journal.cut-{}.1", ends[before])).exists(), length > ends[before]);
        }
    }

    #[test]
    fn zeros_where_a_record_was_to_stand_are_cut() {
        let directory = tempfile::tempdir().unwrap();
        let (path, one) = (directory.path().join("journal"), directory.path().join("one"));
        let (whole, ends) = several(&path);
        for zeros in [1, 3, 4, 35, 36, 37, 5000] {
            assert_eq!(starts(&one, &[whole.as_slice(), &vec![0; zeros]].concat()), Some(4), "{zeros} zeros");
            let more = [whole.as_slice(), &vec![0; zeros], &[1]].concat();
            assert_eq!(starts(&one, &more), if zeros < 4 { Some(4) } else { None }, "{zeros} zeros and more");
        }
        // The file has its full length, and of the last record only the beginning was written.
        for length in ends[3]..whole.len() - 32 {
            let mut changed = whole.clone();
            changed[length..].fill(0);
            assert_eq!(starts(&one, &changed), Some(3), "zeros from {length} on");
        }
        assert_eq!(starts(&one, &vec![0; 4096]), Some(0));
    }
}
