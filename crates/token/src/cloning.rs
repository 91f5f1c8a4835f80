//! Taking a signing key from one device to another, wrapped by keys that only devices know.
//!
//! The receiving device makes an RSA pair; the sending one makes a transport key (AES-256) and wraps it for the
//! receiver, then wraps signing keys with it. What passes outside is a public key and two wrapped keys.
//!
//! The public key must be the receiver's: whoever exchanges it for his own gets the transport key, and with it the
//! signing keys. People compare it at both devices, by whatever short form the ceremony uses.

use std::fmt;

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use secp256k1::PublicKey;

use crate::error::TokenError;
use crate::keys::{self, Export, KeyFacts, KeyId, KeyKind};
use crate::point;
use crate::signing::public_template;
use crate::token::Token;

/// Bytes of a reception key's modulus: 3072 bits.
const MODULUS: usize = 384;
/// 65537.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// The public half of a reception key: the modulus, 384 bytes, most significant first; the exponent is 65537.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceptionKey([u8; MODULUS]);

impl ReceptionKey {
    /// Reads the modulus.
    pub fn from_bytes(modulus: &[u8]) -> Result<ReceptionKey, TokenError> {
        let wrong = || TokenError::PublicKey("a reception key is an odd modulus of 3072 bits");
        let modulus = <[u8; MODULUS]>::try_from(modulus).map_err(|_| wrong())?;
        let (first, last) = (modulus.first().copied().unwrap_or(0), modulus.last().copied().unwrap_or(0));
        if first & 0x80 != 0 && last & 1 == 1 { Ok(ReceptionKey(modulus)) } else { Err(wrong()) }
    }

    /// The modulus.
    pub const fn as_bytes(&self) -> &[u8; MODULUS] {
        &self.0
    }
}

impl fmt::Debug for ReceptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceptionKey(")?;
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..)")
    }
}

/// A signing key on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Its public half, compressed (SEC 1).
    pub public_key: [u8; 33],
    /// Its private half in PKCS #8, wrapped by the transport key (RFC 5649).
    pub wrapped: Vec<u8>,
}

/// OAEP with SHA-1, which every device has; SoftHSM has no other. What breaks SHA-1 does not touch OAEP, which needs no
/// collision resistance.
fn oaep() -> Mechanism<'static> {
    let (hash, mask) = (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1);
    PkcsOaepParams::new(hash, mask, PkcsOaepSource::empty()).into()
}

impl Token {
    /// Makes an RSA-3072 pair in the token that receives transport keys, and returns its public half.
    pub fn create_reception_key(&self, id: &KeyId) -> Result<ReceptionKey, TokenError> {
        self.prepare(id, KeyKind::Reception)?;
        let mut public = named(id);
        public.extend([
            Attribute::Private(false),
            Attribute::ModulusBits(3_072.into()),
            Attribute::PublicExponent(EXPONENT.to_vec()),
            // Others wrap with it, this token does not.
            Attribute::Wrap(false),
            Attribute::Encrypt(false),
            Attribute::Verify(false),
            Attribute::Modifiable(false),
        ]);
        let mut private = named(id);
        private.extend([
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Unwrap(true),
            // Devices permit by themselves what is not denied.
            Attribute::Decrypt(false),
            Attribute::Sign(false),
            Attribute::Derive(false),
            Attribute::Modifiable(false),
        ]);
        let (public, private) = self
            .session
            .generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private)
            .map_err(|error| self.failed("making an RSA key", error))?;
        let unfit = |facts: &KeyFacts| facts.unfit_when_new(KeyKind::Reception, Export::Never);
        self.check_new(id, KeyKind::Reception, &[private, public], unfit)?;
        self.reception_key(id)
    }

    /// The public half of a reception key.
    pub fn reception_key(&self, id: &KeyId) -> Result<ReceptionKey, TokenError> {
        self.key(id, KeyKind::Reception)?;
        let unfit =
            || TokenError::KeyUnfit { id: id.clone(), why: "its public half is not RSA with 3072 bits and 65537" };
        let wanted = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id.as_bytes().to_vec())];
        let halves = self.search(&wanted)?;
        let [half] = halves.as_slice() else { return Err(self.check_present().err().unwrap_or_else(unfit)) };
        let wanted = [AttributeType::Modulus, AttributeType::PublicExponent];
        let read = self.session.get_attributes(*half, &wanted);
        let read = read.map_err(|error| self.failed("reading a public key", error))?;
        match read.as_slice() {
            [Attribute::Modulus(modulus), Attribute::PublicExponent(exponent)] if *exponent == EXPONENT => {
                ReceptionKey::from_bytes(modulus).map_err(|_| unfit())
            }
            _ => Err(unfit()),
        }
    }

    /// Makes an AES-256 key in the token that wraps signing keys for other devices. Destroy it at the end of the
    /// ceremony: while it is there, whoever holds the PIN can send it to himself.
    pub fn create_transport_key(&self, id: &KeyId) -> Result<(), TokenError> {
        self.prepare(id, KeyKind::Transport)?;
        let mut template = named(id);
        template.extend([
            Attribute::Private(true),
            Attribute::ValueLen(32.into()),
            Attribute::Sensitive(true),
            Attribute::Extractable(true),
            Attribute::Wrap(true),
            Attribute::Unwrap(false),
        ]);
        template.extend(no_data());
        let made = self.session.generate_key(&Mechanism::AesKeyGen, &template);
        let key = made.map_err(|error| self.failed("making an AES key", error))?;
        let unfit = |facts: &KeyFacts| facts.unfit_when_new(KeyKind::Transport, Export::UntilSealed);
        self.check_new(id, KeyKind::Transport, &[key], unfit)
    }

    /// Wraps a transport key for the token that made `receiver` (RSA-OAEP, RFC 8017).
    pub fn send_transport_key(&self, id: &KeyId, receiver: &ReceptionKey) -> Result<Vec<u8>, TokenError> {
        let key = self.key(id, KeyKind::Transport)?.handle;
        // For this session only.
        let public = self.session.create_object(&[
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::KeyType(KeyType::RSA),
            Attribute::Token(false),
            Attribute::Private(false),
            Attribute::Modulus(receiver.0.to_vec()),
            Attribute::PublicExponent(EXPONENT.to_vec()),
            Attribute::Wrap(true),
            Attribute::Encrypt(false),
            Attribute::Verify(false),
        ]);
        let public = public.map_err(|error| self.failed("taking in a public key", error))?;
        let wrapped = self.wrap_out(id, KeyKind::Transport, "wrapping with RSA-OAEP", &oaep(), public, key);
        self.discard(&[public]);
        wrapped
    }

    /// Takes in a transport key that another token sent to this one's reception key. Here it only unwraps, and never
    /// leaves again.
    pub fn receive_transport_key(&self, id: &KeyId, reception: &KeyId, wrapped: &[u8]) -> Result<(), TokenError> {
        self.prepare(id, KeyKind::Transport)?;
        let receiver = self.key(reception, KeyKind::Reception)?.handle;
        let mut template = named(id);
        template.extend([
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Wrap(false),
            Attribute::Unwrap(true),
        ]);
        template.extend(no_data());
        let key = self.wrap_in(reception, KeyKind::Reception, &oaep(), receiver, wrapped, &template)?;
        self.check_new(id, KeyKind::Transport, &[key], received_unfit(KeyKind::Transport))
    }

    /// Wraps a signing key that was made to be cloned with a transport key (AES key wrap with padding, RFC 5649).
    pub fn export_wrapped(&self, signing: &KeyId, transport: &KeyId) -> Result<WrappedKey, TokenError> {
        let public_key = self.public_key(signing)?;
        let key = self.key(signing, KeyKind::Signing)?.handle;
        let by = self.key(transport, KeyKind::Transport)?.handle;
        let doing = "wrapping with AES key wrap";
        let wrapped = self.wrap_out(signing, KeyKind::Signing, doing, &Mechanism::AesKeyWrapPad, by, key)?;
        Ok(WrappedKey { public_key, wrapped })
    }

    /// Takes in a signing key that another token wrapped with the transport key that both share. It proves by a
    /// signature that it belongs to its public key, and cannot leave again.
    pub fn import_wrapped(&self, id: &KeyId, transport: &KeyId, key: &WrappedKey) -> Result<(), TokenError> {
        self.prepare(id, KeyKind::Signing)?;
        let public = PublicKey::from_slice(&key.public_key)
            .map_err(|_| TokenError::PublicKey("a signing key's public half is a point on secp256k1"))?;
        let by = self.key(transport, KeyKind::Transport)?.handle;
        let mut template = named(id);
        template.extend([
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::KeyType(KeyType::EC),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
            Attribute::Modifiable(false),
        ]);
        // A crash from here to the end leaves a private half without a public one, which no use takes: destroy it and
        // import again.
        let wrap = Mechanism::AesKeyWrapPad;
        let private = self.wrap_in(transport, KeyKind::Transport, &wrap, by, &key.wrapped, &template)?;
        self.check_new(id, KeyKind::Signing, &[private], received_unfit(KeyKind::Signing))?;
        self.prove_clone(id, private, &public).inspect_err(|_| self.discard(&[private]))
    }

    /// Ends a signing key's being extractable, for good; nothing happens to one that is not.
    pub fn seal(&self, id: &KeyId) -> Result<(), TokenError> {
        let known = self.key(id, KeyKind::Signing)?;
        let read = |doing| {
            let facts = keys::read(&self.session, ObjectClass::PRIVATE_KEY, known.handle);
            facts.map_err(|error| self.failed_with(id, KeyKind::Signing, doing, error))
        };
        if !read("reading a key")?.extractable {
            return Ok(());
        }
        let sealed = self.session.update_attributes(known.handle, &[Attribute::Extractable(false)]);
        sealed.map_err(|error| self.failed_with(id, KeyKind::Signing, "sealing a key", error))?;
        if read("reading a key")?.extractable {
            return Err(TokenError::KeyUnfit {
                id: id.clone(),
                why: "it can still leave the device after it was sealed",
            });
        }
        Ok(())
    }

    fn prove_clone(&self, id: &KeyId, private: ObjectHandle, public: &PublicKey) -> Result<(), TokenError> {
        let mut digest = [0; 32];
        getrandom::fill(&mut digest).map_err(|_| TokenError::Random)?;
        self.sign_with(id, private, public, &digest)?;
        let mut template = public_template(id);
        template.extend([
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::KeyType(KeyType::EC),
            Attribute::EcPoint(point::write(public)),
        ]);
        let made = self.session.create_object(&template);
        made.map_err(|error| self.failed("keeping a public key", error)).map(|_| ())
    }

    fn wrap_out(
        &self,
        id: &KeyId,
        kind: KeyKind,
        doing: &'static str,
        mechanism: &Mechanism,
        by: ObjectHandle,
        key: ObjectHandle,
    ) -> Result<Vec<u8>, TokenError> {
        self.session.wrap_key(mechanism, by, key).map_err(|error| match error {
            Error::Pkcs11(RvError::KeyUnextractable | RvError::KeyNotWrappable, _) => {
                TokenError::NotExtractable(id.clone())
            }
            error => self.failed_with(id, kind, doing, error),
        })
    }

    fn wrap_in(
        &self,
        by_id: &KeyId,
        kind: KeyKind,
        mechanism: &Mechanism,
        by: ObjectHandle,
        wrapped: &[u8],
        template: &[Attribute],
    ) -> Result<ObjectHandle, TokenError> {
        self.session.unwrap_key(mechanism, by, wrapped, template).map_err(|error| match error {
            // Devices name what they cannot unwrap in many ways: SoftHSM, for one, speaks of a general error.
            Error::Pkcs11(
                RvError::GeneralError
                | RvError::FunctionFailed
                | RvError::WrappedKeyInvalid
                | RvError::WrappedKeyLenRange
                | RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange,
                _,
            ) => self.check_present().err().unwrap_or_else(|| TokenError::NotAuthentic(by_id.clone())),
            error => self.failed_with(by_id, kind, "unwrapping a key", error),
        })
    }
}

fn named(id: &KeyId) -> Vec<Attribute> {
    let name = id.as_bytes().to_vec();
    vec![Attribute::Token(true), Attribute::Id(name.clone()), Attribute::Label(name)]
}

/// A transport key handles no data: one that decrypts as well would give every key that it wraps away in plain. Nor can
/// it be changed so that it does; that stands last, since SoftHSM obeys it from where it reads it.
fn no_data() -> [Attribute; 6] {
    [
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::Derive(false),
        Attribute::Modifiable(false),
    ]
}

/// Why a received key is not as it was asked to be.
fn received_unfit(kind: KeyKind) -> impl FnOnce(&KeyFacts) -> Option<&'static str> {
    move |facts| facts.unfit(kind).or_else(|| facts.extractable.then_some("it can leave the device"))
}
