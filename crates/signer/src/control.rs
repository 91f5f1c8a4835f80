//! The door for people at the signer's own machine: a socket in its directory, which only its owner can reach. Here keys are opened
//! and closed while the signer runs, and movements of backup media are written down; nothing else is done here.
//!
//! A question is a frame with JSON; one that opens keys is followed by the 32 bytes of the key-encryption key, or by the PIN of a device, which are never part of the text. What is trusted: that whoever can connect is the machine's owner. What that buys without a slot's key: closing.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealing::{KEY_BYTES, Kek, SlotName};
use serde::{Deserialize, Serialize};
use signer_wire::{FrameError, Refusal, ReplyBody, decode, encode, read_frame, write_frame};
use types::{OperatorId, WalletId};
use zeroize::Zeroizing;

use crate::ceremony::medium::{self, Movement};
use crate::core::Core;
use crate::device::{PIN_BYTES_MAX, Wanted};
use crate::enrol::files;
use crate::life::Actor;
use crate::refusal::{Code, Refused};
use crate::server::now;
use crate::vault::Opener;

/// How long a person's program may say nothing.
const IDLE: Duration = Duration::from_secs(10);

/// A person's question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// Open every key that a quorum lets be opened. The slot's key follows, 32 bytes.
    Open {
        /// The slot.
        slot: String,
        /// Who.
        person: String,
        /// Where.
        terminal: String,
    },
    /// Open the key inside the device. The PIN follows.
    OpenDevice {
        /// The token's label; none for the one of last time.
        label: Option<String>,
        /// Its serial number.
        serial: Option<String>,
        /// The key's name in it.
        key: Option<String>,
        /// Bytes of the PIN.
        pin_bytes: usize,
        /// Who.
        person: String,
        /// Where.
        terminal: String,
    },
    /// Close a wallet's key, or all of them.
    Close {
        /// The wallet; none for all.
        wallet: Option<String>,
        /// Who.
        person: String,
        /// Where.
        terminal: String,
        /// Why.
        reason: String,
    },
    /// Write down that a backup medium moved.
    Medium {
        /// Which.
        medium: String,
        /// Where it was.
        from: String,
        /// Where it is.
        to: String,
        /// The number of its seal.
        seal: String,
        /// Who moved it.
        person: String,
        /// Who was there.
        second: String,
        /// Where they say so.
        terminal: String,
    },
    /// Show the board.
    Board,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// These wallets' keys are open, or were closed.
    Wallets(Vec<String>),
    /// This stands in the journal.
    Recorded(String),
    /// The board.
    Board(Box<ReplyBody>),
    /// It was not done.
    Refused(Refusal),
}

/// Why the door is not there.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket.
    #[error("the control socket {0} cannot be used; is the signer running?")]
    Socket(PathBuf, #[source] io::Error),
    /// The conversation.
    #[error("the signer broke the conversation off")]
    Frame(#[from] FrameError),
    /// It refused.
    #[error(transparent)]
    Refused(Refused),
}

/// Binds the door. One that a killed process left is replaced; the journal's lock says that none runs.
pub fn bind(directory: &Path) -> Result<UnixListener, ControlError> {
    let path = directory.join(files::CONTROL);
    let failed = |error| ControlError::Socket(path.clone(), error);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Answers people, one after the other, for ever.
pub fn serve(listener: &UnixListener, directory: &Path, core: &Arc<Mutex<Core>>) {
    for stream in listener.incoming() {
        if let Err(error) = stream.map_err(FrameError::from).and_then(|stream| converse(stream, directory, core)) {
            eprintln!("a person's connection ended: {error}");
        }
    }
}

fn converse(mut stream: UnixStream, directory: &Path, core: &Mutex<Core>) -> Result<(), FrameError> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let Some(frame) = read_frame(&mut stream)? else { return Ok(()) };
    let answer = match decode::<Question>(&frame)? {
        Question::Open { slot, person, terminal } => {
            // Read in place: a buffer that grows would leave copies behind.
            let mut bytes = Box::new(Zeroizing::new([0; KEY_BYTES]));
            stream.read_exact(bytes.as_mut_slice())?;
            let opened = open(core, directory, &slot, &person, &terminal, &bytes);
            drop(bytes);
            walls::scrub_stack();
            opened.map(Answer::Wallets)
        }
        Question::OpenDevice { label, serial, key, pin_bytes, person, terminal } => {
            // Of its full length from the start, and moved from here to the device's library: no copy is left behind.
            let mut pin = Zeroizing::new(vec![0; pin_bytes.min(PIN_BYTES_MAX)]);
            stream.read_exact(&mut pin)?;
            let opened = open_device(core, &Wanted { label, serial, key }, pin, &person, &terminal);
            walls::scrub_stack();
            opened.map(Answer::Wallets)
        }
        Question::Close { wallet, person, terminal, reason } => {
            close(core, wallet, &Actor { person, terminal, cause: reason })
        }
        Question::Medium { medium, from, to, seal, person, second, terminal } => {
            move_medium(core, [&medium, &from, &to, &seal], [&person, &second], &terminal)
        }
        Question::Board => {
            let core = core.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(Answer::Board(Box::new(core.board(now()))))
        }
    };
    let answer = answer.unwrap_or_else(|refused| {
        eprintln!("refused {}: {}", refused.code, refused.reason);
        Answer::Refused(refused.into())
    });
    write_frame(&mut stream, &encode(&answer)?)
}

fn open(
    core: &Mutex<Core>,
    directory: &Path,
    slot: &str,
    person: &str,
    terminal: &str,
    bytes: &[u8; KEY_BYTES],
) -> Result<Vec<String>, Refused> {
    let slot: SlotName = slot.parse().map_err(|_| Refused::new(Code::Sealing, "a slot's name has no form"))?;
    let person: OperatorId = person.parse().map_err(|_| Refused::new(Code::Person, "a person's name has no form"))?;
    let kek = Kek::from_bytes(bytes);
    let opener = Opener { person: &person, terminal, slot: &slot, kek: &kek };
    let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
    let wallets = core.open_sealed(directory, &opener, now())?;
    Ok(wallets.iter().map(WalletId::to_string).collect())
}

fn open_device(
    core: &Mutex<Core>,
    wanted: &Wanted,
    pin: Zeroizing<Vec<u8>>,
    person: &str,
    terminal: &str,
) -> Result<Vec<String>, Refused> {
    let person: OperatorId = person.parse().map_err(|_| Refused::new(Code::Person, "a person's name has no form"))?;
    let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
    let wallets = core.open_device(wanted, pin, &person, terminal, now())?;
    Ok(wallets.iter().map(WalletId::to_string).collect())
}

fn close(core: &Mutex<Core>, wallet: Option<String>, by: &Actor) -> Result<Answer, Refused> {
    let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
    let all = core.open_wallets();
    let chosen: Vec<WalletId> =
        all.into_iter().filter(|one| wallet.as_ref().is_none_or(|name| one.as_str() == name)).collect();
    core.close_keys(&chosen, by, now())?;
    Ok(Answer::Wallets(chosen.iter().map(WalletId::to_string).collect()))
}

fn move_medium(
    core: &Mutex<Core>,
    [medium, from, to, seal]: [&str; 4],
    people: [&str; 2],
    terminal: &str,
) -> Result<Answer, Refused> {
    let read = |name: &str| name.parse().map_err(|_| Refused::new(Code::Person, "a person's name has no form"));
    let people: [Result<OperatorId, Refused>; 2] = people.map(read);
    let [person, second] = people;
    let movement = Movement { medium, from, to, seal, person: &person?, second: &second? };
    let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
    medium::record(&mut core, &movement, terminal, now()).map(Answer::Recorded)
}

/// Asks the signer that runs on `directory`. `kek` goes with a question that opens.
///
/// # Errors
/// [`ControlError::Refused`] with the signer's own code and reason.
pub fn ask(directory: &Path, question: &Question, kek: Option<&Kek>) -> Result<Answer, ControlError> {
    ask_with(directory, question, kek.map_or(&[], |kek| kek.expose().as_slice()))
}

/// As [`ask`]; `secret` follows the question: a slot's key, or a PIN.
pub fn ask_with(directory: &Path, question: &Question, secret: &[u8]) -> Result<Answer, ControlError> {
    let path = directory.join(files::CONTROL);
    let mut stream = UnixStream::connect(&path).map_err(|error| ControlError::Socket(path, error))?;
    write_frame(&mut stream, &encode(question)?)?;
    stream.write_all(secret).map_err(FrameError::from)?;
    let broken = || FrameError::Connection(io::ErrorKind::UnexpectedEof.into());
    match decode(&read_frame(&mut stream)?.ok_or_else(broken)?)? {
        Answer::Refused(refusal) => Err(ControlError::Refused(refusal.into())),
        answer => Ok(answer),
    }
}
