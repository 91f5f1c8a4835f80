//! The envelope's file, replaced so that a crash leaves the old one or the new one.
//!
//! Trusts the directory's owner. Callers keep two of themselves from storing at once (a signer holds its journal's lock).

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::document::DOCUMENT_BYTES_MAX;
use crate::envelope::Envelope;
use crate::error::SealingError;

/// What has just been done of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What an earlier crash had left of a new file is gone.
    Cleared,
    /// An empty new file stands beside the old one.
    Created,
    /// The new file was written.
    Written,
    /// The disk has the new file.
    Synced,
    /// The new file has the name.
    Renamed,
    /// The disk has the name.
    Durable,
}

/// Why an envelope was not stored or loaded.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The path ends in no file's name.
    #[error("{0} is not the path of a file")]
    Path(PathBuf),
    /// The envelope's bytes.
    #[error("the envelope in {0} cannot be written or read")]
    Envelope(PathBuf, #[source] SealingError),
    /// The disk refused before anything was replaced.
    #[error("{0} cannot be written; what it held before is untouched")]
    Untouched(PathBuf, #[source] io::Error),
    /// The disk refused after the new file had the name.
    #[error(
        "{0} was replaced, but a power cut might still bring the old one back; keep what opens the old, and store again"
    )]
    Undecided(PathBuf, #[source] io::Error),
    /// It cannot be read.
    #[error("{0} cannot be read")]
    Unreadable(PathBuf, #[source] io::Error),
}

/// Replaces the file at `path`, readable by its owner alone, and returns when the disk has it under its name.
pub fn store(path: &Path, envelope: &Envelope) -> Result<(), StoreError> {
    let bytes = envelope.to_bytes().map_err(|error| StoreError::Envelope(path.to_owned(), error))?;
    replace(path, &bytes, &mut |_| Ok(()))
}

/// Reads the file at `path`, up to the longest document.
pub fn load(path: &Path) -> Result<Envelope, StoreError> {
    let mut bytes = Vec::new();
    let bytes_max = u64::try_from(DOCUMENT_BYTES_MAX).unwrap_or(u64::MAX);
    File::open(path)
        .and_then(|file| file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| StoreError::Unreadable(path.to_owned(), error))?;
    Envelope::from_bytes(&bytes).map_err(|error| StoreError::Envelope(path.to_owned(), error))
}

/// Where the new file is written: in the same directory, so that renaming it is one step of one file system.
fn beside(path: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name()?);
    name.push(".new");
    Some(path.with_file_name(name))
}

/// Replaces, and tells `after` of each step; an error of `after` stops right there, as a crash would.
fn replace(path: &Path, bytes: &[u8], after: &mut dyn FnMut(Step) -> io::Result<()>) -> Result<(), StoreError> {
    let new = beside(path).ok_or_else(|| StoreError::Path(path.to_owned()))?;
    write_beside(&new, bytes, after)
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| StoreError::Untouched(path.to_owned(), error))?;
    // A crash here leaves the new file under the name, or the old one and the whole new one beside it: the rename is one step.
    after(Step::Renamed)
        .and_then(|()| sync_directory(path))
        .and_then(|()| after(Step::Durable))
        .map_err(|error| StoreError::Undecided(path.to_owned(), error))
    // From here on a crash leaves the new file.
}

fn write_beside(new: &Path, bytes: &[u8], after: &mut dyn FnMut(Step) -> io::Result<()>) -> io::Result<()> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A crash here leaves the old file alone.
    after(Step::Cleared)?;
    // Never through a link, never into a file that somebody else may have open: there must be none.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    // A crash here leaves the old file, and perhaps an empty new one, which the next storing removes.
    after(Step::Created)?;
    file.write_all(bytes)?;
    // A crash here leaves the old file, and any part of the new one beside it.
    after(Step::Written)?;
    file.sync_all()?;
    // A crash here leaves the old file, and the whole new one beside it.
    after(Step::Synced)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::{Context, Kek, NewSlot, SlotName};

    const STEPS: [Step; 6] = [Step::Cleared, Step::Created, Step::Written, Step::Synced, Step::Renamed, Step::Durable];

    fn envelope(seed: u8) -> Envelope {
        let mut next = seed;
        let mut random = move |bytes: &mut [u8]| {
            next = next.wrapping_add(1);
            bytes.fill(next);
            Ok(())
        };
        let name: SlotName = "two-of-two".parse().unwrap();
        let holders = ["alice", "bob"].iter().map(|holder| holder.parse().unwrap()).collect();
        let slot = NewSlot::shares(name, holders, "1".to_owned(), 2, Kek::from_bytes(&[seed; 32])).unwrap();
        let (signer, purpose) = ("signer-1".parse().unwrap(), "seed".parse().unwrap());
        let context = Context { signer, network: types::Network::Regtest, purpose };
        Envelope::create(context, &BTreeMap::new(), vec![slot], &mut random).unwrap().0
    }

    /// Stops right after `at`, as a crash does.
    fn crash(path: &Path, new: &Envelope, at: Step) -> StoreError {
        let mut stop = |step| if step == at { Err(io::Error::other("power cut")) } else { Ok(()) };
        replace(path, &new.to_bytes().unwrap(), &mut stop).unwrap_err()
    }

    /// What a file holds; none when there is none.
    type Content = Option<Vec<u8>>;

    /// What a power cut may make of the two names when the last step that was done is `at`: what was not synced may be lost, whole
    /// or in part. `old` and `new` are files' contents.
    fn outcomes(at: Step, old: Option<&[u8]>, new: &[u8]) -> Vec<(Content, Content)> {
        let old = old.map(<[u8]>::to_vec);
        let parts = [Vec::new(), new[..1].to_vec(), new[..new.len() / 2].to_vec(), vec![0; new.len()], new.to_vec()];
        match at {
            Step::Cleared => vec![(old, None)],
            Step::Created => vec![(old.clone(), None), (old, Some(Vec::new()))],
            Step::Written => {
                let beside = parts.into_iter().map(Some).chain([None]);
                beside.map(|beside| (old.clone(), beside)).collect()
            }
            Step::Synced => vec![(old.clone(), None), (old, Some(new.to_vec()))],
            Step::Renamed => vec![(Some(new.to_vec()), None), (old.clone(), Some(new.to_vec())), (old, None)],
            Step::Durable => vec![(Some(new.to_vec()), None)],
        }
    }

    fn put(path: &Path, content: Option<&[u8]>) {
        match content {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => drop(fs::remove_file(path)),
        }
    }

    #[test]
    fn a_crash_after_any_step_leaves_the_old_file_or_the_new_one() {
        let (old, new, next) = (envelope(1), envelope(2), envelope(3));
        let (old_bytes, new_bytes) = (old.to_bytes().unwrap(), new.to_bytes().unwrap());
        for before in [None, Some(&old)] {
            for at in STEPS {
                let content = before.map(|_| old_bytes.as_slice());
                for (named, beside_it) in outcomes(at, content, &new_bytes) {
                    let directory = tempfile::tempdir().unwrap();
                    let path = directory.path().join("seed.sealed");
                    put(&path, content);
                    let error = crash(&path, &new, at);
                    let undecided = matches!(error, StoreError::Undecided(..));
                    assert_eq!(undecided, matches!(at, Step::Renamed | Step::Durable), "{at:?}");
                    // What the process itself left is one of the outcomes.
                    let (left, left_beside) = (fs::read(&path).ok(), fs::read(beside(&path).unwrap()).ok());
                    assert!(outcomes(at, content, &new_bytes).contains(&(left, left_beside)), "{at:?}");

                    put(&path, named.as_deref());
                    put(&beside(&path).unwrap(), beside_it.as_deref());
                    match load(&path) {
                        Ok(found) => assert!(
                            (Some(&found) == before && at != Step::Durable) || (found == new && undecided),
                            "{at:?}"
                        ),
                        Err(StoreError::Unreadable(..)) => assert!(before.is_none() && at != Step::Durable, "{at:?}"),
                        Err(error) => panic!("{at:?}: {error}"),
                    }
                    // Whatever was left, the next storing works and clears it away.
                    store(&path, &next).unwrap();
                    assert_eq!(load(&path).unwrap(), next);
                    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "{at:?}");
                }
            }
        }
    }

    #[test]
    fn the_owner_alone_reads_it_and_links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seed.sealed");
        let victim = directory.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        symlink(&victim, beside(&path).unwrap()).unwrap();
        store(&path, &envelope(1)).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn what_cannot_be_stored_or_loaded_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(matches!(store(&path, &envelope(1)), Err(StoreError::Untouched(..))));
        assert!(matches!(store(Path::new("/"), &envelope(1)), Err(StoreError::Path(_))));
        assert!(matches!(store(&directory.path().join("no/where"), &envelope(1)), Err(StoreError::Untouched(..))));
        assert!(matches!(load(&directory.path().join("nothing")), Err(StoreError::Unreadable(..))));
        let long = directory.path().join("long");
        File::create(&long).unwrap().set_len(u64::try_from(DOCUMENT_BYTES_MAX).unwrap() * 100).unwrap();
        let Err(StoreError::Envelope(_, SealingError::TooLong { bytes, .. })) = load(&long) else { panic!() };
        assert_eq!(bytes, DOCUMENT_BYTES_MAX + 1, "no more than that is read");
    }
}
