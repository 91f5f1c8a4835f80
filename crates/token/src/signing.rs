//! ECDSA on secp256k1, by keys inside the device.

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use secp256k1::{Message, PublicKey, ecdsa};

use crate::error::TokenError;
use crate::keys::{Export, KeyId, KeyKind};
use crate::point::{self, SECP256K1};
use crate::token::Token;

impl Token {
    /// Makes a key pair on secp256k1 in the token and returns the public key, compressed (SEC 1). The private half is
    /// never readable, and leaves the token only if `export` allows it, and only wrapped.
    pub fn create_signing_key(&self, id: &KeyId, export: Export) -> Result<[u8; 33], TokenError> {
        self.prepare(id, KeyKind::Signing)?;
        let private = private_template(id, export);
        let public = public_template(id);
        let (public, private) = self
            .session
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
            .map_err(|error| self.failed("making a key on secp256k1", error))?;
        let made = [private, public];
        self.check_new(id, KeyKind::Signing, &made, |facts| facts.unfit_when_new(KeyKind::Signing, export))?;
        self.prove(id).inspect_err(|_| {
            self.forget(id);
            self.discard(&made);
        })
    }

    /// The public key, compressed (SEC 1).
    pub fn public_key(&self, id: &KeyId) -> Result<[u8; 33], TokenError> {
        self.key(id, KeyKind::Signing)?.public.map(|key| key.serialize()).ok_or_else(|| no_public(id))
    }

    /// Signs a digest of 32 bytes: r and s, 32 bytes each, s in the lower half of the group's order (BIP-146), verified
    /// with libsecp256k1 against the key's public half.
    pub fn sign_ecdsa(&self, id: &KeyId, digest: &[u8; 32]) -> Result<[u8; 64], TokenError> {
        let key = self.key(id, KeyKind::Signing)?;
        let public = key.public.ok_or_else(|| no_public(id))?;
        self.sign_with(id, key.handle, &public, digest)
    }

    pub(crate) fn sign_with(
        &self,
        id: &KeyId,
        key: ObjectHandle,
        public: &PublicKey,
        digest: &[u8; 32],
    ) -> Result<[u8; 64], TokenError> {
        let answer = self.session.sign(&Mechanism::Ecdsa, key, digest);
        let answer = answer.map_err(|error| self.failed_with(id, KeyKind::Signing, "signing", error))?;
        let wrong = || TokenError::WrongSignature(id.clone());
        let mut signature = ecdsa::Signature::from_compact(&answer).map_err(|_| wrong())?;
        signature.normalize_s();
        let digest = Message::from_digest(*digest);
        self.curve.verify_ecdsa(&digest, &signature, public).map_err(|_| wrong())?;
        Ok(signature.serialize_compact())
    }

    /// Has a key sign something random, so that its halves are known to belong together; returns the public one.
    fn prove(&self, id: &KeyId) -> Result<[u8; 33], TokenError> {
        let mut digest = [0; 32];
        getrandom::fill(&mut digest).map_err(|_| TokenError::Random)?;
        self.sign_ecdsa(id, &digest)?;
        self.public_key(id)
    }

    /// Reads the public half of a key.
    pub(crate) fn read_public(&self, id: &KeyId) -> Result<PublicKey, TokenError> {
        let halves =
            self.search(&[Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id.as_bytes().to_vec())])?;
        let half = match halves.as_slice() {
            [half] => *half,
            [] => return Err(self.check_present().err().unwrap_or_else(|| no_public(id))),
            _ => return Err(TokenError::KeyAmbiguous(id.clone())),
        };
        let attributes = self.session.get_attributes(half, &[AttributeType::EcPoint]);
        let attributes = attributes.map_err(|error| self.failed("reading a public key", error))?;
        let point = attributes.iter().find_map(|attribute| match attribute {
            Attribute::EcPoint(point) => point::read(point),
            _ => None,
        });
        point.ok_or_else(|| TokenError::KeyUnfit { id: id.clone(), why: "its public half is no point on secp256k1" })
    }
}

fn no_public(id: &KeyId) -> TokenError {
    TokenError::KeyUnfit { id: id.clone(), why: "its public half is missing" }
}

fn private_template(id: &KeyId, export: Export) -> Vec<Attribute> {
    let name = id.as_bytes().to_vec();
    let leaves = export == Export::UntilSealed;
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        // Sealing a key changes it.
        Attribute::Modifiable(leaves),
        Attribute::Id(name.clone()),
        Attribute::Label(name),
        Attribute::Sensitive(true),
        Attribute::Extractable(leaves),
        Attribute::Sign(true),
        // Devices permit by themselves what is not denied.
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ]
}

pub fn public_template(id: &KeyId) -> Vec<Attribute> {
    let name = id.as_bytes().to_vec();
    vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Modifiable(false),
        Attribute::Id(name.clone()),
        Attribute::Label(name),
        Attribute::EcParams(SECP256K1.to_vec()),
        Attribute::Verify(true),
        Attribute::Encrypt(false),
        Attribute::Wrap(false),
        Attribute::Derive(false),
    ]
}
