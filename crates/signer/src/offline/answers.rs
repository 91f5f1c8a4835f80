//! Answers that were given, kept beside the journal: whoever brings the same bundle again gets the same signatures.
//!
//! Trusted with them: the signer's host. What tampering buys: a carried answer whose signatures do not verify.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use signer_wire::Answer;
use types::Digest;

use crate::enrol::files;
use crate::keys::write_secret;

/// Why an answer is not there.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The file.
    #[error("the answer {0} cannot be read or written")]
    File(PathBuf, #[source] io::Error),
    /// Its content.
    #[error("the answer {0} cannot be read; delete it and sign again")]
    Damaged(PathBuf, #[source] signer_wire::CarriedError),
}

fn place(directory: &Path, bundle: &Digest) -> PathBuf {
    directory.join(files::ANSWERS).join(format!("{bundle}.json"))
}

/// The answer that was given to a bundle before, if there is one.
pub fn earlier(directory: &Path, bundle: &Digest) -> Result<Option<Answer>, AnswerError> {
    let path = place(directory, bundle);
    match fs::read(&path) {
        Ok(bytes) => Answer::from_bytes(&bytes).map(Some).map_err(|error| AnswerError::Damaged(path, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AnswerError::File(path, error)),
    }
}

/// Keeps the answer to a bundle.
pub(super) fn keep(directory: &Path, bundle: &Digest, answer: &Answer) -> Result<(), AnswerError> {
    let path = place(directory, bundle);
    let folder = directory.join(files::ANSWERS);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| AnswerError::File(folder, error))?;
    replace(&path, &answer.to_bytes()).map_err(|error| AnswerError::File(path, error))
}

/// Writes a file of the owner's alone, all of it or nothing, and returns when the disk has it. Who holds the journal's lock is alone here.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A crash before the renaming leaves a file of another name, which the next try removes; after it, the whole answer.
    write_secret(&new, content)?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_written_whole_for_its_owner_also_after_a_crash() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("answer.json");
        // What a crash left.
        fs::write(directory.path().join("answer.new"), b"half").unwrap();
        replace(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
