//! Runs the stock `age` program, so that hardware plugins work and the signer's tree stays small. A key goes through pipes alone: it
//! is never an argument, a variable of the environment or a file.
//!
//! Trusts the program at that path (and its plugins) with the key, as it trusts the machine.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use zeroize::Zeroizing;

use crate::age;
use crate::keys::{KEY_BYTES, Kek};

/// Longest part of the program's own words that an error repeats, in characters.
const WORDS_MAX: usize = 500;

/// The program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Age {
    program: PathBuf,
}

/// Why a key was not encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum AgeError {
    /// There is none.
    #[error("the program {0} is not here; install it (Debian, Ubuntu: apt-get install age), or name its path")]
    Missing(PathBuf),
    /// It cannot be run, or its pipes broke.
    #[error("the program {0} cannot be run")]
    Run(PathBuf, #[source] io::Error),
    /// Not recipients.
    #[error("name 1 to {max} recipients: age1..., or an SSH public key", max = age::RECIPIENTS_MAX)]
    Recipients,
    /// Not a ciphertext.
    #[error("this is no armoured output of age")]
    Ciphertext,
    /// It refused to encrypt.
    #[error("age did not encrypt ({status}): {words}")]
    NotEncrypted {
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        words: String,
    },
    /// It refused to decrypt.
    #[error(
        "age did not decrypt ({0}); its own words went to standard error: no identity in the file fits, or the ciphertext was changed"
    )]
    NotDecrypted(ExitStatus),
    /// It gave something else than a key.
    #[error("age decrypted something that is not a key of 32 bytes; this ciphertext was not made for a slot")]
    NotAKey,
}

impl Default for Age {
    /// `age`, wherever `PATH` has it.
    fn default() -> Age {
        Age::at(PathBuf::from("age"))
    }
}

impl Age {
    /// The program at this path.
    pub const fn at(program: PathBuf) -> Age {
        Age { program }
    }

    /// Encrypts a key to recipients. Returns the armoured ciphertext for [`NewSlot::age`](crate::NewSlot::age).
    pub fn encrypt(&self, recipients: &[String], kek: &Kek) -> Result<String, AgeError> {
        let known = recipients.iter().all(|recipient| age::is_recipient(recipient));
        if !known || !(1..=age::RECIPIENTS_MAX).contains(&recipients.len()) {
            return Err(AgeError::Recipients);
        }
        let mut child = self.start(age::encrypt_arguments(recipients), Stdio::piped())?;
        let given = give(&mut child, kek.expose());
        let output = child.wait_with_output().map_err(|error| self.broken(error))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).trim().chars().take(WORDS_MAX).collect();
            return Err(AgeError::NotEncrypted { status: output.status, words });
        }
        given.map_err(|error| self.broken(error))?;
        let output = String::from_utf8(output.stdout).map_err(|_| AgeError::Ciphertext)?;
        if age::is_ciphertext(&output) { Ok(output) } else { Err(AgeError::Ciphertext) }
    }

    /// Decrypts a slot's key with the identities in a file. A plugin or a protected identity may ask the person at the terminal;
    /// what `age` says goes to this process's standard error. Waits as long as the person does.
    pub fn decrypt(&self, identity_file: &Path, ciphertext: &str) -> Result<Kek, AgeError> {
        if !age::is_ciphertext(ciphertext) {
            return Err(AgeError::Ciphertext);
        }
        let identity_file = std::path::absolute(identity_file).map_err(|error| self.broken(error))?;
        let mut running = Running(self.start(age::decrypt_arguments(&identity_file), Stdio::inherit())?);
        let given = give(&mut running.0, ciphertext.as_bytes());
        // One byte more than a key, to notice what is longer. Read in place: no buffer that grows leaves copies behind.
        let mut output = Box::new(Zeroizing::new([0; KEY_BYTES + 1]));
        let read = running.0.stdout.take().map_or(Ok(0), |mut stdout| read_all(&mut stdout, output.as_mut_slice()));
        let status = running.0.wait().map_err(|error| self.broken(error))?;
        if !status.success() {
            return Err(AgeError::NotDecrypted(status));
        }
        let length = given.and(read).map_err(|error| self.broken(error))?;
        let key = output.first_chunk::<KEY_BYTES>().filter(|_| length == KEY_BYTES);
        key.map(Kek::from_bytes).ok_or(AgeError::NotAKey)
    }

    fn start(&self, arguments: Vec<OsString>, stderr: Stdio) -> Result<Child, AgeError> {
        let started = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn();
        started.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => AgeError::Missing(self.program.clone()),
            _ => self.broken(error),
        })
    }

    fn broken(&self, error: io::Error) -> AgeError {
        AgeError::Run(self.program.clone(), error)
    }
}

/// A child that does not outlive an early return.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail harmlessly when it has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes all of its input and closes it. That it stopped listening is no error here: how it ends says why.
fn give(child: &mut Child, input: &[u8]) -> io::Result<()> {
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
    written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// Reads until the end, keeps what fits into `buffer`, and returns how much of it is filled. The rest is read too, so that the
/// program ends of itself.
fn read_all(from: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    let kept = fill(from, buffer)?;
    let mut beyond = Zeroizing::new([0; 1_024]);
    while fill(from, beyond.as_mut_slice())? > 0 {}
    Ok(kept)
}

/// Reads until the end or until `buffer` is full, and returns how many bytes came.
fn fill(from: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
