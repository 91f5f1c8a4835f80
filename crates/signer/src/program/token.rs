//! Keys inside PKCS #11 tokens, as a person's program speaks to them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sealing::{Context, Kek, NewSlot, SlotName, TokenKey};
use signer::vault::random;
use token::{KeyId, Token, TokenError};
use types::OperatorId;
use zeroize::Zeroizing;

use super::Outcome;

/// How [`Token::wrap`] encrypts, as slots note it.
const MECHANISM: &str = "CKM_AES_GCM";

/// A key inside a token, written `MODULE:LABEL:KEY[:PINFILE]`; where several tokens have one label, `LABEL#SERIAL`.
#[derive(Clone)]
pub struct Place {
    module: PathBuf,
    label: String,
    serial: Option<String>,
    /// Its name in the token.
    pub key: KeyId,
    pin_file: Option<PathBuf>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let parts: Vec<&str> = text.splitn(4, ':').collect();
        let [module, token, key, pin_file @ ..] = parts.as_slice() else {
            return Err(format!("\"{text}\" is not written MODULE:LABEL:KEY[:PINFILE]"));
        };
        let (label, serial) = match token.rsplit_once('#') {
            Some((label, serial)) => (label, Some(serial.to_owned())),
            None => (*token, None),
        };
        Ok(Place {
            module: PathBuf::from(module),
            label: label.to_owned(),
            serial,
            key: key.parse().map_err(|error| format!("\"{key}\": {error}"))?,
            pin_file: pin_file.first().map(PathBuf::from),
        })
    }
}

impl Place {
    /// Opens the token.
    pub fn open(&self) -> Outcome<Token> {
        let pin = pin(self.pin_file.as_deref(), &self.label)?;
        Ok(Token::open(&self.module, &self.label, self.serial.as_deref(), pin)?)
    }
}

/// Reads a PIN from a file's first line, or asks for it.
pub fn pin(file: Option<&Path>, label: &str) -> Outcome<Zeroizing<Vec<u8>>> {
    let text = match file {
        Some(file) => fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?,
        None => rpassword::prompt_password(format!("PIN of the token \"{label}\": "))?,
    };
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().as_bytes().to_vec()))
}

/// What a key is wrapped for: a token that several signers use opens for none of them what belongs to another.
fn purpose(context: &Context, slot: &SlotName) -> String {
    format!("{context}/{slot}")
}

/// Makes a slot whose key a token has wrapped; makes the wrapping key too, where the token has none of that name.
pub fn seal(name: SlotName, holders: BTreeSet<OperatorId>, place: &Place, context: &Context) -> Outcome<NewSlot> {
    let token = place.open()?;
    let kek = Kek::random(&mut random)?;
    let purpose = purpose(context, &name);
    let wrapped = match token.wrap(&place.key, kek.expose(), purpose.as_bytes()) {
        Err(TokenError::KeyMissing { .. }) => {
            token.create_wrapping_key(&place.key)?;
            token.wrap(&place.key, kek.expose(), purpose.as_bytes())?
        }
        wrapped => wrapped?,
    };
    let facts = token.facts();
    let slot = TokenKey {
        label: facts.label.clone(),
        serial: facts.serial.clone(),
        model: facts.model.clone(),
        key_id: place.key.to_string().into_bytes(),
        mechanism: MECHANISM.to_owned(),
        wrapped,
    };
    Ok(NewSlot::token(name, holders, slot, kek)?)
}

/// Has the token that a slot names unwrap its key. Another token of the same label is not asked: its serial number differs.
pub fn unseal(
    context: &Context,
    name: &SlotName,
    slot: &TokenKey,
    module: Option<&Path>,
    pin_file: Option<&Path>,
) -> Outcome<Kek> {
    let needed = || format!("the slot \"{name}\" needs the token {}; name its library: --module FILE", slot.label);
    let module = module.ok_or_else(needed)?;
    if slot.mechanism != MECHANISM {
        return Err(
            format!("the slot \"{name}\" was wrapped by {}, which this program does not use", slot.mechanism).into()
        );
    }
    let key: KeyId = std::str::from_utf8(&slot.key_id)?.parse()?;
    let token = Token::open(module, &slot.label, Some(&slot.serial), pin(pin_file, &slot.label)?)?;
    if token.facts().model != slot.model {
        let found = &token.facts().model;
        return Err(format!(
            "the token {} is a {found} now; the slot \"{name}\" was made by a {}",
            slot.label, slot.model
        )
        .into());
    }
    let bytes = token.unwrap(&key, &slot.wrapped, purpose(context, name).as_bytes())?;
    Ok(Kek::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_module_token_and_key_and_perhaps_a_serial_number_and_a_file() {
        let place: Place = "/usr/lib/hsm.so:my label#0a1b:wallet-1:/run/pin:1".parse().unwrap();
        assert_eq!((place.module.to_str(), place.label.as_str()), (Some("/usr/lib/hsm.so"), "my label"));
        assert_eq!((place.serial.as_deref(), place.key.to_string()), (Some("0a1b"), "wallet-1".to_owned()));
        assert_eq!(place.pin_file.as_deref(), Some(Path::new("/run/pin:1")));
        let place: Place = "/usr/lib/hsm.so:alpha:k".parse().unwrap();
        assert!(place.serial.is_none() && place.pin_file.is_none());
        for wrong in ["", "/usr/lib/hsm.so", "/usr/lib/hsm.so:alpha", "/usr/lib/hsm.so:alpha:A KEY"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
