//! Names, kinds and properties of keys.

use std::fmt;
use std::str::FromStr;

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use crate::point::SECP256K1;

/// Longest name of a key, in bytes.
const ID_BYTES_MAX: usize = 32;

/// The name of a key, kept in the device as `CKA_ID` and as `CKA_LABEL`: 1 to 32 of `a-z`, `0-9`, `-`, `.` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

/// A name that no key can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key's name is 1 to 32 of a-z, 0-9, '-', '.' and '_'")]
pub struct KeyIdError;

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<KeyId, KeyIdError> {
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
        let good = (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits);
        if good { Ok(KeyId(text.to_owned())) } else { Err(KeyIdError) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyId {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What a key is for. A key has one use only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// AES-256: encrypts a signer's secrets and nothing else.
    Wrapping,
    /// ECDSA on secp256k1.
    Signing,
    /// AES-256: wraps keys on their way to another device (or unwraps them there), and encrypts nothing.
    Transport,
    /// RSA: unwraps a transport key that another device sends.
    Reception,
    /// Anything else that the device holds; not ours to use.
    Other,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyKind::Wrapping => "wrapping",
            KeyKind::Signing => "signing",
            KeyKind::Transport => "transport",
            KeyKind::Reception => "reception",
            KeyKind::Other => "other",
        })
    }
}

/// Whether a signing key may go to another device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Export {
    /// Never.
    #[default]
    Never,
    /// Wrapped, until [`crate::Token::seal`] ends it.
    UntilSealed,
}

/// A key's properties as the device states them; what it does not state counts as the worse.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one attribute of the standard")]
pub struct KeyFacts {
    /// Its name in the device (`CKA_ID`), whatever program made it.
    pub id: Vec<u8>,
    /// The same for people (`CKA_LABEL`).
    pub label: String,
    /// What it is for, by its type and its permitted uses.
    pub kind: KeyKind,
    /// Cannot be read in plain (`CKA_SENSITIVE`).
    pub sensitive: bool,
    /// Never could be (`CKA_ALWAYS_SENSITIVE`).
    pub always_sensitive: bool,
    /// Can leave the device wrapped (`CKA_EXTRACTABLE`).
    pub extractable: bool,
    /// Never could (`CKA_NEVER_EXTRACTABLE`).
    pub never_extractable: bool,
    /// Was made in this device (`CKA_LOCAL`).
    pub local: bool,
}

impl KeyFacts {
    /// Its name, if it is one that we give.
    pub fn key_id(&self) -> Option<KeyId> {
        std::str::from_utf8(&self.id).ok()?.parse().ok()
    }

    /// Why a key must not be used as one of its kind.
    pub(crate) fn unfit(&self, kind: KeyKind) -> Option<&'static str> {
        let stays = matches!(kind, KeyKind::Wrapping | KeyKind::Reception);
        if self.kind != kind {
            Some("its type or its permitted uses are not those of its kind")
        } else if !self.sensitive {
            Some("it can be read in plain")
        } else if stays && (self.extractable || !self.never_extractable || !self.always_sensitive) {
            Some("it can leave the device, or could once")
        } else if stays && !self.local {
            Some("it was not made in this device")
        } else {
            None
        }
    }

    /// Why a key that the device has just made is not what was asked for.
    pub(crate) fn unfit_when_new(&self, kind: KeyKind, export: Export) -> Option<&'static str> {
        let leaves = self.extractable || !self.never_extractable;
        if let Some(why) = self.unfit(kind) {
            Some(why)
        } else if !self.local || !self.always_sensitive {
            Some("the device does not say that it made the key and kept it")
        } else if export == Export::Never && leaves {
            Some("it can leave the device")
        } else {
            None
        }
    }
}

/// Permitted uses.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one attribute of the standard")]
struct Uses {
    encrypt: bool,
    decrypt: bool,
    sign: bool,
    wrap: bool,
    unwrap: bool,
    derive: bool,
}

const NOTHING: Uses = Uses { encrypt: false, decrypt: false, sign: false, wrap: false, unwrap: false, derive: false };

fn kind(class: ObjectClass, key_type: Option<KeyType>, curve: &[u8], uses: Uses) -> KeyKind {
    let secret = class == ObjectClass::SECRET_KEY;
    if secret && key_type == Some(KeyType::AES) {
        let wraps = Uses { wrap: true, ..NOTHING };
        let unwraps = Uses { unwrap: true, ..NOTHING };
        if uses == (Uses { encrypt: true, decrypt: true, ..NOTHING }) {
            return KeyKind::Wrapping;
        } else if uses == wraps || uses == unwraps {
            return KeyKind::Transport;
        }
    }
    if !secret && key_type == Some(KeyType::EC) && curve == SECP256K1 && uses == (Uses { sign: true, ..NOTHING }) {
        return KeyKind::Signing;
    }
    if !secret && key_type == Some(KeyType::RSA) && uses == (Uses { unwrap: true, ..NOTHING }) {
        return KeyKind::Reception;
    }
    KeyKind::Other
}

/// What is asked of every key.
const ASKED: [AttributeType; 11] = [
    AttributeType::Id,
    AttributeType::Label,
    AttributeType::Sensitive,
    AttributeType::AlwaysSensitive,
    AttributeType::Extractable,
    AttributeType::NeverExtractable,
    AttributeType::Local,
    AttributeType::Decrypt,
    AttributeType::Sign,
    AttributeType::Unwrap,
    AttributeType::Derive,
];
/// What only secret keys have; asked apart, since a device may answer nothing at all when asked for what a key does not
/// have.
const ASKED_OF_SECRET_KEYS: [AttributeType; 2] = [AttributeType::Encrypt, AttributeType::Wrap];

/// Reads a key's properties. `class` is that of a private or a secret key.
pub fn read(session: &Session, class: ObjectClass, handle: ObjectHandle) -> Result<KeyFacts, Error> {
    let key_type = key_type(session, handle)?;
    let mut attributes = session.get_attributes(handle, &ASKED)?;
    if class == ObjectClass::SECRET_KEY {
        attributes.extend(session.get_attributes(handle, &ASKED_OF_SECRET_KEYS)?);
    } else if key_type == Some(KeyType::EC) {
        attributes.extend(session.get_attributes(handle, &[AttributeType::EcParams])?);
    }
    let mut facts = KeyFacts {
        id: Vec::new(),
        label: String::new(),
        kind: KeyKind::Other,
        sensitive: false,
        always_sensitive: false,
        extractable: true,
        never_extractable: false,
        local: false,
    };
    let (mut uses, mut curve) = (NOTHING, Vec::new());
    for attribute in attributes {
        match attribute {
            Attribute::Id(id) => facts.id = id,
            Attribute::Label(label) => facts.label = String::from_utf8_lossy(&label).into_owned(),
            Attribute::Sensitive(yes) => facts.sensitive = yes,
            Attribute::AlwaysSensitive(yes) => facts.always_sensitive = yes,
            Attribute::Extractable(yes) => facts.extractable = yes,
            Attribute::NeverExtractable(yes) => facts.never_extractable = yes,
            Attribute::Local(yes) => facts.local = yes,
            Attribute::Encrypt(yes) => uses.encrypt = yes,
            Attribute::Decrypt(yes) => uses.decrypt = yes,
            Attribute::Sign(yes) => uses.sign = yes,
            Attribute::Wrap(yes) => uses.wrap = yes,
            Attribute::Unwrap(yes) => uses.unwrap = yes,
            Attribute::Derive(yes) => uses.derive = yes,
            Attribute::EcParams(parameters) => curve = parameters,
            _ => {}
        }
    }
    facts.kind = kind(class, key_type, &curve, uses);
    Ok(facts)
}

/// A key's type; none if the library does not know it, which makes it nobody's we know.
fn key_type(session: &Session, handle: ObjectHandle) -> Result<Option<KeyType>, Error> {
    match session.get_attributes(handle, &[AttributeType::KeyType]) {
        Ok(attributes) => Ok(attributes.into_iter().find_map(|attribute| match attribute {
            Attribute::KeyType(key_type) => Some(key_type),
            _ => None,
        })),
        Err(error @ Error::Pkcs11(..)) => Err(error),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "wallet-1.2025_b", &"x".repeat(32)] {
            assert_eq!(good.parse::<KeyId>().unwrap().to_string(), good);
        }
        for bad in ["", "A", "a b", "a/b", "\u{e9}", &"x".repeat(33)] {
            assert_eq!(bad.parse::<KeyId>(), Err(KeyIdError), "{bad}");
        }
    }

    #[test]
    fn one_use_makes_a_kind_and_two_make_none() {
        let secret = |uses| kind(ObjectClass::SECRET_KEY, Some(KeyType::AES), &[], uses);
        let both = Uses { encrypt: true, decrypt: true, ..NOTHING };
        assert_eq!(secret(both), KeyKind::Wrapping);
        assert_eq!(secret(Uses { wrap: true, ..NOTHING }), KeyKind::Transport);
        assert_eq!(secret(Uses { unwrap: true, ..NOTHING }), KeyKind::Transport);
        for uses in [
            NOTHING,
            Uses { wrap: true, ..both },
            Uses { unwrap: true, ..both },
            Uses { derive: true, ..both },
            Uses { wrap: true, decrypt: true, ..NOTHING },
            Uses { wrap: true, unwrap: true, ..NOTHING },
        ] {
            assert_eq!(secret(uses), KeyKind::Other);
        }
        let (sign, unwrap) = (Uses { sign: true, ..NOTHING }, Uses { unwrap: true, ..NOTHING });
        let private = |key_type, curve: &[u8], uses| kind(ObjectClass::PRIVATE_KEY, Some(key_type), curve, uses);
        assert_eq!(private(KeyType::EC, &SECP256K1, sign), KeyKind::Signing);
        assert_eq!(private(KeyType::RSA, &[], unwrap), KeyKind::Reception);
        assert_eq!(private(KeyType::EC, &[6, 1, 0], sign), KeyKind::Other);
        assert_eq!(private(KeyType::EC, &SECP256K1, Uses { derive: true, ..sign }), KeyKind::Other);
        assert_eq!(private(KeyType::RSA, &[], Uses { decrypt: true, ..unwrap }), KeyKind::Other);
    }

    #[test]
    fn a_key_that_could_leave_or_came_from_elsewhere_is_unfit() {
        let good = KeyFacts {
            id: b"k".to_vec(),
            label: "k".to_owned(),
            kind: KeyKind::Wrapping,
            sensitive: true,
            always_sensitive: true,
            extractable: false,
            never_extractable: true,
            local: true,
        };
        assert_eq!(good.unfit_when_new(KeyKind::Wrapping, Export::Never), None);
        let worse: [fn(&mut KeyFacts); 6] = [
            |facts| facts.kind = KeyKind::Other,
            |facts| facts.sensitive = false,
            |facts| facts.always_sensitive = false,
            |facts| facts.extractable = true,
            |facts| facts.never_extractable = false,
            |facts| facts.local = false,
        ];
        for (at, change) in worse.iter().enumerate() {
            let mut facts = good.clone();
            change(&mut facts);
            assert!(facts.unfit(KeyKind::Wrapping).is_some(), "{at}");
            let mut facts = KeyFacts { kind: KeyKind::Signing, ..good.clone() };
            change(&mut facts);
            // A clone, or a key that can be cloned, may sign; what has just been made may not be one unasked.
            assert_eq!(facts.unfit(KeyKind::Signing).is_some(), at < 2, "{at}");
            assert!(facts.unfit_when_new(KeyKind::Signing, Export::Never).is_some(), "{at}");
        }
        let leaves = KeyFacts { kind: KeyKind::Signing, extractable: true, never_extractable: false, ..good };
        assert_eq!(leaves.unfit_when_new(KeyKind::Signing, Export::UntilSealed), None);
    }
}
