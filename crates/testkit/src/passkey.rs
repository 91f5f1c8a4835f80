use base64ct::{Base64UrlUnpadded, Encoding as _};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// A passkey in software: what a browser and an authenticator make together, with every part open to a test's hands.
#[derive(Debug)]
pub struct Passkey {
    key: SigningKey,
    /// Identifier of the credential, base64url without padding.
    pub credential: String,
}

/// What goes into an assertion.
#[derive(Clone, Debug)]
pub struct Ceremony {
    /// `webauthn.get` when signing in.
    pub kind: String,
    /// The site that asks.
    pub origin: String,
    /// The relying party's identifier.
    pub relying_party: String,
    /// What is signed.
    pub challenge: Vec<u8>,
    /// Whether the page stands inside another site's.
    pub cross_origin: bool,
    /// Flags of the authenticator: 1 present, 4 verified, 8 backup eligible, 64 attested data.
    pub flags: u8,
}

impl Ceremony {
    /// An honest one: a person who is there and verified, on that site.
    pub fn new(relying_party: &str, origin: &str, challenge: &[u8]) -> Ceremony {
        Ceremony {
            kind: "webauthn.get".to_owned(),
            origin: origin.to_owned(),
            relying_party: relying_party.to_owned(),
            challenge: challenge.to_vec(),
            cross_origin: false,
            flags: 1 | 4,
        }
    }
}

impl Passkey {
    /// A key from 32 bytes that the test chooses.
    pub fn new(secret: [u8; 32]) -> Result<Passkey, String> {
        let key = SigningKey::from_slice(&secret).map_err(|error| error.to_string())?;
        let credential = Base64UrlUnpadded::encode_string(&Sha256::digest(secret));
        Ok(Passkey { key, credential })
    }

    /// The public key, compressed (SEC 1).
    pub fn public_key(&self) -> Result<[u8; 33], String> {
        let point = self.key.verifying_key().to_encoded_point(true);
        <[u8; 33]>::try_from(point.as_bytes()).map_err(|error| error.to_string())
    }

    /// The assertion as JSON, in the form in which approvals carry it.
    pub fn assert(&self, ceremony: &Ceremony) -> String {
        let client = json!({
            "type": ceremony.kind,
            "challenge": Base64UrlUnpadded::encode_string(&ceremony.challenge),
            "origin": ceremony.origin,
            "crossOrigin": ceremony.cross_origin,
        })
        .to_string();
        let mut data = Sha256::digest(ceremony.relying_party.as_bytes()).to_vec();
        data.push(ceremony.flags);
        data.extend_from_slice(&7u32.to_be_bytes());
        let signed = [data.as_slice(), &Sha256::digest(client.as_bytes())].concat();
        let signature: Signature = self.key.sign(&signed);
        json!({
            "authenticator_data": Base64UrlUnpadded::encode_string(&data),
            "client_data_json": Base64UrlUnpadded::encode_string(client.as_bytes()),
            "credential": self.credential,
            "signature": Base64UrlUnpadded::encode_string(signature.to_der().as_bytes()),
        })
        .to_string()
    }
}
