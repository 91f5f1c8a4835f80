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
