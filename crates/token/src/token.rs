//! Opening a token and finding keys in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::RawAuthPin;
use secp256k1::{PublicKey, Secp256k1, VerifyOnly};
use zeroize::Zeroizing;

use crate::error::{PinTries, TokenError};
use crate::facts::{Facts, tries};
use crate::keys::{self, KeyFacts, KeyId, KeyKind};
use crate::module::Module;
use crate::pin;

/// An open token, logged in as its user. Dropping it logs out.
///
/// A process opens a token once and asks it one thing at a time; whoever shares it between threads puts it behind a
/// mutex.
pub struct Token {
    // Before the module: the session is closed while the library still runs.
    pub(crate) session: Session,
    module: Module,
    slot: Slot,
    facts: Facts,
    mechanisms: Vec<MechanismType>,
    pub(crate) curve: Secp256k1<VerifyOnly>,
    known: RefCell<BTreeMap<KeyId, Known>>,
}

/// A key that was found and checked since the token was opened.
#[derive(Clone, Copy)]
pub struct Known {
    pub kind: KeyKind,
    pub handle: ObjectHandle,
    /// Of signing keys.
    pub public: Option<PublicKey>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("module", &self.module).field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Token {
    /// Opens the token with this label, and this serial number if one is given, through the PKCS #11 library at an
    /// absolute path.
    ///
    /// The PIN is not tried when it is a default one, when the token is locked, and when one try is left: a program
    /// that starts again and again must not lock a token.
    pub fn open(
        module: &Path,
        label: &str,
        serial: Option<&str>,
        mut pin: Zeroizing<Vec<u8>>,
    ) -> Result<Token, TokenError> {
        if pin::is_default(&pin) {
            return Err(TokenError::DefaultPin);
        }
        let module = Module::start(module)?;
        let refused = |source| TokenError::Module { path: module.path().to_owned(), source };
        let (slot, info) = choose(module.pkcs11(), label, serial, &refused)?;
        let named = || label.to_owned();
        if !info.token_initialized() || !info.user_pin_initialized() {
            return Err(TokenError::NotInitialised(named()));
        }
        if info.user_pin_to_be_changed() {
            return Err(TokenError::PinToBeChanged(named()));
        }
        if let Some(refusal) = tries(&info).refusal(label) {
            return Err(refusal);
        }
        let facts = Facts::read(module.pkcs11(), slot, &info).map_err(refused)?;
        let mechanisms = module.pkcs11().get_mechanism_list(slot).map_err(refused)?;
        let session = module.pkcs11().open_rw_session(slot).map_err(|source| failed("opening a session", source))?;
        // The buffer moves, it is not copied, and is wiped when dropped.
        let pin = RawAuthPin::new(Box::new(std::mem::take(&mut *pin)));
        session.login_with_raw(UserType::User, &pin).map_err(|error| match error {
            Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
                let tries = module.pkcs11().get_token_info(slot).map_or(PinTries::NotSaid, |info| tries(&info));
                TokenError::WrongPin { label: named(), tries }
            }
            Error::Pkcs11(RvError::PinLocked, _) => TokenError::PinLocked(named()),
            Error::Pkcs11(RvError::PinExpired, _) => TokenError::PinToBeChanged(named()),
            Error::Pkcs11(RvError::UserPinNotInitialized, _) => TokenError::NotInitialised(named()),
            Error::Pkcs11(RvError::UserAlreadyLoggedIn | RvError::UserAnotherAlreadyLoggedIn, _) => {
                TokenError::AlreadyOpen(named())
            }
            source => failed("logging in", source),
        })?;
        let curve = Secp256k1::verification_only();
        Ok(Token { session, module, slot, facts, mechanisms, curve, known: RefCell::default() })
    }

    /// What the device said about itself when it was opened.
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Every private and secret key in the token, whoever made it, by name.
    pub fn keys(&self) -> Result<Vec<KeyFacts>, TokenError> {
        let doing = "listing its keys";
        let mut found = Vec::new();
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
            for handle in self.search(&[Attribute::Class(class)])? {
                found.push(keys::read(&self.session, class, handle).map_err(|error| self.failed(doing, error))?);
            }
        }
        // A token that was pulled out has no keys, without an error.
        self.check_present()?;
        found.sort_by(|a, b| (&a.id, a.kind).cmp(&(&b.id, b.kind)));
        Ok(found)
    }

    /// Removes a key of this kind from the token, with its public half. There is no way back.
    pub fn destroy(&self, id: &KeyId, kind: KeyKind) -> Result<(), TokenError> {
        let doing = "destroying a key";
        let (class, key_type) = type_of(kind).ok_or_else(|| TokenError::KeyMissing { id: id.clone(), kind })?;
        let (handle, facts) = self.find(id, kind, class, key_type)?;
        if facts.kind != kind {
            return Err(TokenError::KeyMissing { id: id.clone(), kind });
        }
        self.forget(id);
        self.session.destroy_object(handle).map_err(|error| self.failed(doing, error))?;
        let public = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id.as_bytes().to_vec())];
        for half in self.search(&public)? {
            self.session.destroy_object(half).map_err(|error| self.failed(doing, error))?;
        }
        Ok(())
    }

    /// A key of this kind, checked when it is first used.
    pub(crate) fn key(&self, id: &KeyId, kind: KeyKind) -> Result<Known, TokenError> {
        if let Some(known) = self.known.borrow().get(id).filter(|known| known.kind == kind) {
            return Ok(*known);
        }
        let (class, key_type) = type_of(kind).ok_or_else(|| TokenError::KeyMissing { id: id.clone(), kind })?;
        let (handle, facts) = self.find(id, kind, class, key_type)?;
        self.check_able(kind)?;
        if let Some(why) = facts.unfit(kind) {
            return Err(TokenError::KeyUnfit { id: id.clone(), why });
        }
        let public = if kind == KeyKind::Signing { Some(self.read_public(id)?) } else { None };
        let known = Known { kind, handle, public };
        self.known.borrow_mut().insert(id.clone(), known);
        Ok(known)
    }

    /// What was learnt about a key does not count any more.
    pub(crate) fn forget(&self, id: &KeyId) {
        self.known.borrow_mut().remove(id);
    }

    /// The one key of this name and type, with its properties.
    fn find(
        &self,
        id: &KeyId,
        kind: KeyKind,
        class: ObjectClass,
        key_type: KeyType,
    ) -> Result<(ObjectHandle, KeyFacts), TokenError> {
        let wanted = [Attribute::Class(class), Attribute::KeyType(key_type), Attribute::Id(id.as_bytes().to_vec())];
        let handle = match self.search(&wanted)?.as_slice() {
            [handle] => *handle,
            [] => {
                self.check_present()?;
                return Err(TokenError::KeyMissing { id: id.clone(), kind });
            }
            _ => return Err(TokenError::KeyAmbiguous(id.clone())),
        };
        let facts = keys::read(&self.session, class, handle).map_err(|error| self.failed("reading a key", error))?;
        Ok((handle, facts))
    }

    pub(crate) fn search(&self, wanted: &[Attribute]) -> Result<Vec<ObjectHandle>, TokenError> {
        self.session.find_objects(wanted).map_err(|error| self.failed("searching for keys", error))
    }

    /// Before a key is made or taken in: refuses a name that the token knows already, and a device that could not use
    /// the key.
    pub(crate) fn prepare(&self, id: &KeyId, kind: KeyKind) -> Result<(), TokenError> {
        let taken = !self.search(&[Attribute::Id(id.as_bytes().to_vec())])?.is_empty();
        // A token that was pulled out knows no name, without an error.
        self.check_present()?;
        if taken { Err(TokenError::KeyExists(id.clone())) } else { self.check_able(kind) }
    }

    /// Whether the device can do what a kind of key is for.
    fn check_able(&self, kind: KeyKind) -> Result<(), TokenError> {
        let missing = mechanisms(kind).iter().find(|(mechanism, _)| !self.mechanisms.contains(mechanism));
        missing.map_or(Ok(()), |(_, name)| Err(TokenError::Unsupported(name)))
    }

    /// Reads back what the device has made or taken in; removes it again if it is not as asked.
    pub(crate) fn check_new(
        &self,
        id: &KeyId,
        kind: KeyKind,
        objects: &[ObjectHandle],
        unfit: impl FnOnce(&KeyFacts) -> Option<&'static str>,
    ) -> Result<(), TokenError> {
        let (class, key_type) = type_of(kind).ok_or_else(|| TokenError::KeyMissing { id: id.clone(), kind })?;
        let checked = match self.find(id, kind, class, key_type) {
            Ok((_, facts)) => unfit(&facts).map_or(Ok(()), |why| Err(TokenError::KeyUnfit { id: id.clone(), why })),
            Err(error) => Err(error),
        };
        if checked.is_err() {
            self.discard(objects);
        }
        checked
    }

    /// Removes what must not stay. If it cannot be removed it stays unfit, and no use of ours takes it.
    pub(crate) fn discard(&self, objects: &[ObjectHandle]) {
        for object in objects {
            let _ = self.session.destroy_object(*object);
        }
    }

    /// Whether the same token is still there.
    pub(crate) fn check_present(&self) -> Result<(), TokenError> {
        let same = |info: TokenInfo| {
            info.token_initialized() && info.serial_number() == self.facts.serial && info.label() == self.facts.label
        };
        let info = self.module.pkcs11().get_token_info(self.slot);
        if info.is_ok_and(same) { Ok(()) } else { Err(TokenError::Removed(self.facts.label.clone())) }
    }

    /// What an error means: a token that is gone fails in many ways, and is asked again whether it is there.
    pub(crate) fn failed(&self, doing: &'static str, error: Error) -> TokenError {
        let gone = matches!(
            error,
            Error::Pkcs11(
                RvError::DeviceRemoved
                    | RvError::TokenNotPresent
                    | RvError::TokenNotRecognized
                    | RvError::SlotIdInvalid
                    | RvError::SessionClosed
                    | RvError::SessionHandleInvalid
                    | RvError::UserNotLoggedIn
                    | RvError::CryptokiNotInitialized,
                _
            )
        );
        if gone {
            return TokenError::Removed(self.facts.label.clone());
        }
        self.check_present().err().unwrap_or_else(|| failed(doing, error))
    }

    /// The same, of something done with a key.
    pub(crate) fn failed_with(&self, id: &KeyId, kind: KeyKind, doing: &'static str, error: Error) -> TokenError {
        self.forget(id);
        let Error::Pkcs11(code, _) = &error else { return self.failed(doing, error) };
        let known = match code {
            RvError::ObjectHandleInvalid | RvError::KeyHandleInvalid | RvError::WrappingKeyHandleInvalid => {
                TokenError::KeyMissing { id: id.clone(), kind }
            }
            RvError::KeyFunctionNotPermitted => {
                TokenError::KeyUnfit { id: id.clone(), why: "the device does not permit this use" }
            }
            _ => return self.failed(doing, error),
        };
        self.check_present().err().unwrap_or(known)
    }
}

/// An error of a token that is there.
fn failed(doing: &'static str, source: Error) -> TokenError {
    match source {
        Error::Pkcs11(RvError::MechanismInvalid | RvError::FunctionNotSupported | RvError::CurveNotSupported, _)
        | Error::NullFunctionPointer => TokenError::Unsupported(doing),
        source => TokenError::Device { doing, source },
    }
}

const fn mechanisms(kind: KeyKind) -> &'static [(MechanismType, &'static str)] {
    match kind {
        KeyKind::Wrapping => &[(MechanismType::AES_GCM, "AES-GCM")],
        KeyKind::Signing => &[(MechanismType::ECDSA, "ECDSA")],
        KeyKind::Transport => {
            &[(MechanismType::AES_KEY_WRAP_PAD, "AES key wrap"), (MechanismType::RSA_PKCS_OAEP, "RSA-OAEP")]
        }
        KeyKind::Reception => &[(MechanismType::RSA_PKCS_OAEP, "RSA-OAEP")],
        KeyKind::Other => &[],
    }
}

const fn type_of(kind: KeyKind) -> Option<(ObjectClass, KeyType)> {
    match kind {
        KeyKind::Wrapping | KeyKind::Transport => Some((ObjectClass::SECRET_KEY, KeyType::AES)),
        KeyKind::Signing => Some((ObjectClass::PRIVATE_KEY, KeyType::EC)),
        KeyKind::Reception => Some((ObjectClass::PRIVATE_KEY, KeyType::RSA)),
        KeyKind::Other => None,
    }
}

/// The slot with the token that is wanted.
fn choose(
    pkcs11: &Pkcs11,
    label: &str,
    serial: Option<&str>,
    refused: &impl Fn(Error) -> TokenError,
) -> Result<(Slot, TokenInfo), TokenError> {
    let mut there = Vec::new();
    for slot in pkcs11.get_slots_with_token().map_err(refused)? {
        // A slot that does not answer is not the one that we want: that one is then missed by name.
        if let Ok(info) = pkcs11.get_token_info(slot) {
            there.push((slot, info));
        }
    }
    let list = |tokens: &[(Slot, TokenInfo)]| {
        let named = tokens.iter().filter(|(_, info)| info.token_initialized());
        let names: Vec<_> = named.map(|(_, info)| format!("{} {}", info.label(), info.serial_number())).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let found = list(&there);
    there.retain(|(_, info)| info.label() == label && serial.is_none_or(|serial| info.serial_number() == serial));
    let wanted = serial.map_or_else(|| label.to_owned(), |serial| format!("{label} {serial}"));
    match there.pop() {
        None => Err(TokenError::TokenMissing { wanted, found }),
        Some(one) if there.is_empty() => Ok(one),
        Some(one) => {
            there.push(one);
            Err(TokenError::TokenAmbiguous { wanted, found: list(&there) })
        }
    }
}
