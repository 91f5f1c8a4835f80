//! A signature key (K1) inside a PKCS #11 device: it is never in this process, which asks the device for signatures and believes none
//! that it has not verified.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt;
use std::path::Path;

use bitcoin::secp256k1::PublicKey;
use serde::{Deserialize, Serialize};
use token::{KeyId, Token, TokenError};
use types::OperatorId;
use zeroize::Zeroizing;

use crate::refusal::{Code, Refused};

/// Longest PIN, in bytes.
pub const PIN_BYTES_MAX: usize = 255;

/// What a device said about itself: its word, which only a manufacturer's attestation would prove. Public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceFacts {
    /// Who made it.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its firmware.
    pub firmware: String,
    /// Its serial number.
    pub serial: String,
    /// The name that it was given.
    pub label: String,
    /// The key's name in it.
    pub key: String,
}

impl DeviceFacts {
    /// What the token says, and a key's name in it.
    pub fn of(token: &Token, key: &KeyId) -> DeviceFacts {
        let facts = token.facts();
        DeviceFacts {
            manufacturer: facts.manufacturer.clone(),
            model: facts.model.clone(),
            firmware: facts.firmware.to_string(),
            serial: facts.serial.clone(),
            label: facts.label.clone(),
            key: key.to_string(),
        }
    }

    /// As a charter names devices: `manufacturer/model/firmware`.
    pub fn kind(&self) -> String {
        format!("{}/{}/{}", self.manufacturer, self.model, self.firmware)
    }
}

/// A key that was just made inside a device, to become a signer's account.
pub struct NewDevice {
    /// Its public half, compressed (SEC 1).
    pub public_key: PublicKey,
    /// What the device said.
    pub facts: DeviceFacts,
    /// Who holds its PIN: what opens it (K3).
    pub holders: BTreeSet<OperatorId>,
    /// The device's certificate, as people noted it, such as `CMVP 4321`; empty when they noted none.
    pub certificate: String,
}

/// Which key in which device is to be opened; what is left out is as it was last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The token's label.
    pub label: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// The key's name in it.
    pub key: Option<String>,
}

impl Wanted {
    /// The token and key that are looked for. A new label is looked for under any serial number.
    fn resolve<'a>(&'a self, before: &'a DeviceFacts) -> (&'a str, Option<&'a str>, &'a str) {
        let label = self.label.as_deref().unwrap_or(&before.label);
        let serial = match (&self.label, &self.serial) {
            (_, Some(serial)) => Some(serial.as_str()),
            (None, None) => Some(before.serial.as_str()),
            (Some(_), None) => None,
        };
        (label, serial, self.key.as_deref().unwrap_or(&before.key))
    }
}

/// A key inside a device that is open. Dropping it logs out and ends the session.
pub struct DeviceKey {
    token: Token,
    id: KeyId,
    public: PublicKey,
    facts: DeviceFacts,
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceKey").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl DeviceKey {
    /// Opens a key, if it is the one whose public half is `public` and cannot leave its device.
    ///
    /// # Errors
    /// `device-pin` and `device`.
    pub fn open(
        module: &Path,
        wanted: &Wanted,
        before: &DeviceFacts,
        public: PublicKey,
        pin: Zeroizing<Vec<u8>>,
    ) -> Result<DeviceKey, Refused> {
        let (label, serial, key) = wanted.resolve(before);
        let id: KeyId = key.parse().map_err(|error| Refused::new(Code::Device, format!("\"{key}\": {error}")))?;
        let token = Token::open(module, label, serial, pin).map_err(refused)?;
        if token.public_key(&id).map_err(refused)? != public.serialize() {
            let reason = format!("the key {id} of the token {label} is not the one of this signer's account");
            return Err(Refused::new(Code::Device, reason));
        }
        let keys = token.keys().map_err(refused)?;
        if keys.iter().any(|facts| facts.key_id().as_ref() == Some(&id) && facts.extractable) {
            let reason =
                format!("the key {id} can still leave the token {label}: clone it, and seal it, before it is used");
            return Err(Refused::new(Code::Device, reason));
        }
        let facts = DeviceFacts::of(&token, &id);
        Ok(DeviceKey { token, id, public, facts })
    }

    /// Its public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// What the device said when it was opened.
    pub const fn facts(&self) -> &DeviceFacts {
        &self.facts
    }

    /// Has the device sign a digest: r and s, 32 bytes each, s in the lower half, verified.
    pub fn sign(&self, digest: &[u8; 32]) -> Result<[u8; 64], Refused> {
        self.token.sign_ecdsa(&self.id, digest).map_err(refused)
    }
}

/// A device's error as a refusal. A device that was pulled out, or that failed, may do it later.
pub fn refused(error: TokenError) -> Refused {
    let reason = error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    match error {
        TokenError::WrongPin { .. }
        | TokenError::DefaultPin
        | TokenError::PinLocked(_)
        | TokenError::PinLastTry(_)
        | TokenError::PinToBeChanged(_) => Refused::new(Code::DevicePin, reason),
        TokenError::Removed(_) | TokenError::TokenMissing { .. } | TokenError::Device { .. } | TokenError::Random => {
            Refused::new(Code::DeviceGone, reason)
        }
        _ => Refused::new(Code::Device, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_it_was_and_a_new_token_is_looked_for_by_its_own_name() {
        let text = |text: &str| Some(text.to_owned());
        let before = DeviceFacts {
            manufacturer: "m".to_owned(),
            model: "d".to_owned(),
            firmware: "1.2".to_owned(),
            serial: "77".to_owned(),
            label: "alpha".to_owned(),
            key: "k".to_owned(),
        };
        assert_eq!(before.kind(), "m/d/1.2");
        let wanted = |label: &str, serial: &str, key: &str| {
            let some = |part: &str| if part.is_empty() { None } else { text(part) };
            Wanted { label: some(label), serial: some(serial), key: some(key) }
        };
        assert_eq!(wanted("", "", "").resolve(&before), ("alpha", Some("77"), "k"));
        assert_eq!(wanted("beta", "", "").resolve(&before), ("beta", None, "k"));
        assert_eq!(wanted("beta", "78", "l").resolve(&before), ("beta", Some("78"), "l"));
        assert_eq!(wanted("", "78", "").resolve(&before), ("alpha", Some("78"), "k"));
    }

    #[test]
    fn a_device_that_is_gone_may_come_back_and_a_wrong_pin_stays_wrong() {
        let gone = refused(TokenError::Removed("alpha".to_owned()));
        assert_eq!((gone.retry(), gone.code), (true, Code::DeviceGone));
        let lies = refused(TokenError::WrongSignature("k".parse().unwrap()));
        assert_eq!((lies.retry(), lies.code), (false, Code::Device));
        let pin = refused(TokenError::DefaultPin);
        assert_eq!((pin.retry(), pin.code), (false, Code::DevicePin));
    }
}
