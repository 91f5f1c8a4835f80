//! The document: JSON in one spelling, read within bounds, and what each ciphertext is bound to.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::cipher::{NONCE_BYTES, Sealed, TAG_BYTES};
use crate::envelope::{Context, Envelope, ITEM_BYTES_MAX, ITEMS_MAX, SLOTS_MAX};
use crate::error::SealingError;
use crate::keys::{K3Id, KEY_BYTES};
use crate::names::{ItemName, SlotName};
use crate::passphrase::Argon2Parameters;
use crate::slot::{Slot, SlotHeader, SlotKind, TokenKey};

const VERSION: &str = "claviger-sealed-v1";
/// Longest document, in bytes. The largest envelope that the other bounds allow fits.
pub const DOCUMENT_BYTES_MAX: usize = 8 << 20;

/// Nothing but the version, to tell another version from damage.
#[derive(Deserialize)]
struct Version {
    version: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentRow {
    version: String,
    k3: String,
    context: ContextRow,
    slots: BTreeMap<String, SlotRow>,
    items: BTreeMap<String, SealedRow>,
    seal: SealedRow,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextRow {
    signer: String,
    network: String,
    purpose: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct SlotRow {
    holders: BTreeSet<String>,
    opens_with: KindRow,
    data_key: SealedRow,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
enum KindRow {
    Passphrase { algorithm: Algorithm, memory_kib: u32, passes: u32, lanes: u32, salt: String },
    Shares { set: String, threshold: u8 },
    Token { label: String, serial: String, model: String, key_id: String, mechanism: String, wrapped: String },
    Age { recipients: Vec<String>, ciphertext: String },
}

#[derive(Serialize, Deserialize)]
enum Algorithm {
    #[serde(rename = "argon2id-v19")]
    Argon2id,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedRow {
    nonce: String,
    ciphertext: String,
}

/// What an item's ciphertext is bound to.
pub(crate) fn item_binding(k3: &K3Id, context: &Context, name: &ItemName) -> Result<Vec<u8>, SealingError> {
    json(&(VERSION, "item", k3.to_string(), ContextRow::of(context), name.as_str()))
}

/// What a slot's wrapped data key is bound to.
pub(crate) fn slot_binding(k3: &K3Id, context: &Context, header: &SlotHeader) -> Result<Vec<u8>, SealingError> {
    let (holders, kind) = (holders(header), KindRow::of(&header.kind));
    json(&(VERSION, "slot", k3.to_string(), ContextRow::of(context), header.name.as_str(), holders, kind))
}

/// What the document's seal is bound to.
pub(crate) fn whole_binding(envelope: &Envelope) -> Result<Vec<u8>, SealingError> {
    let DocumentRow { version, k3, context, slots, items, seal: _ } = DocumentRow::of(envelope);
    json(&(version, "document", k3, context, slots, items))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, SealingError> {
    serde_json::to_vec(value).map_err(|error| malformed(&error))
}

/// Where, but not what: a wrong file may hold a secret in the clear, and JSON errors repeat what they met.
fn malformed(error: &serde_json::Error) -> SealingError {
    SealingError::Form { line: error.line(), column: error.column() }
}

impl Envelope {
    /// The document, in its one spelling.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SealingError> {
        let mut bytes = serde_json::to_vec_pretty(&DocumentRow::of(self)).map_err(|error| malformed(&error))?;
        bytes.push(b'\n');
        check_length(bytes.len())?;
        Ok(bytes)
    }

    /// Reads a document. Proves nothing but its form: that needs a key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Envelope, SealingError> {
        check_length(bytes.len())?;
        let Version { version } = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        if version != VERSION {
            return Err(SealingError::Version);
        }
        let row: DocumentRow = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        let envelope = row.read()?;
        if envelope.to_bytes()? == bytes { Ok(envelope) } else { Err(SealingError::NotCanonical) }
    }
}

fn check_length(bytes: usize) -> Result<(), SealingError> {
    let bytes_max = DOCUMENT_BYTES_MAX;
    if bytes > bytes_max { Err(SealingError::TooLong { what: "the document", bytes, bytes_max }) } else { Ok(()) }
}

impl DocumentRow {
    fn of(envelope: &Envelope) -> DocumentRow {
        let slot = |slot: &Slot| SlotRow {
            holders: holders(&slot.header),
            opens_with: KindRow::of(&slot.header.kind),
            data_key: SealedRow::of(&slot.wrapped),
        };
        DocumentRow {
            version: VERSION.to_owned(),
            k3: envelope.k3.to_string(),
            context: ContextRow::of(&envelope.context),
            slots: envelope.slots.values().map(|row| (row.name().to_string(), slot(row))).collect(),
            items: envelope.items.iter().map(|(name, item)| (name.to_string(), SealedRow::of(item))).collect(),
            seal: SealedRow::of(&envelope.seal),
        }
    }

    fn read(self) -> Result<Envelope, SealingError> {
        if self.slots.is_empty() {
            return Err(SealingError::NoSlot);
        }
        if self.slots.len() > SLOTS_MAX {
            return Err(SealingError::TooMany { what: "slots", max: SLOTS_MAX });
        }
        if self.items.len() > ITEMS_MAX {
            return Err(SealingError::TooMany { what: "items", max: ITEMS_MAX });
        }
        let mut slots = BTreeMap::new();
        for (name, row) in self.slots {
            let slot = row.read(&name)?;
            slots.insert(slot.name().clone(), slot);
        }
        let mut items = BTreeMap::new();
        for (name, row) in self.items {
            items.insert(
                name.parse().map_err(|_| SealingError::Value("an item's name"))?,
                row.read(0..=ITEM_BYTES_MAX)?,
            );
        }
        Ok(Envelope {
            k3: K3Id::from_bytes(array(&self.k3)?),
            context: self.context.read()?,
            slots,
            items,
            seal: self.seal.read(0..=0)?,
        })
    }
}

impl ContextRow {
    fn of(context: &Context) -> ContextRow {
        ContextRow {
            signer: context.signer.to_string(),
            network: context.network.to_string(),
            purpose: context.purpose.to_string(),
        }
    }

    fn read(self) -> Result<Context, SealingError> {
        Ok(Context {
            signer: self.signer.parse().map_err(|_| SealingError::Value("the signer"))?,
            network: self.network.parse().map_err(|_| SealingError::Value("the network"))?,
            purpose: self.purpose.parse().map_err(|_| SealingError::Value("the purpose"))?,
        })
    }
}

fn holders(header: &SlotHeader) -> BTreeSet<String> {
    header.holders.iter().map(ToString::to_string).collect()
}

impl SlotRow {
    fn read(self, name: &str) -> Result<Slot, SealingError> {
        let name: SlotName = name.parse().map_err(|_| SealingError::Value("a slot's name"))?;
        let holders = self.holders.iter().map(|holder| holder.parse()).collect::<Result<_, _>>();
        let holders = holders.map_err(|_| SealingError::Value("a holder"))?;
        let kind = match self.opens_with {
            KindRow::Passphrase { algorithm: Algorithm::Argon2id, memory_kib, passes, lanes, salt } => {
                let parameters = Argon2Parameters::new(memory_kib, passes, lanes, array(&salt)?);
                let refused = |rule| SealingError::Slot { slot: name.clone(), rule };
                SlotKind::Passphrase(parameters.map_err(refused)?)
            }
            KindRow::Shares { set, threshold } => SlotKind::Shares { set, threshold },
            KindRow::Token { label, serial, model, key_id, mechanism, wrapped } => {
                let (key_id, wrapped) = (bytes(&key_id)?, bytes(&wrapped)?);
                SlotKind::Token(TokenKey { label, serial, model, key_id, mechanism, wrapped })
            }
            KindRow::Age { recipients, ciphertext } => SlotKind::Age { recipients, ciphertext },
        };
        let header = SlotHeader { name, holders, kind };
        header.check()?;
        Ok(Slot { header, wrapped: self.data_key.read(KEY_BYTES..=KEY_BYTES)? })
    }
}

impl KindRow {
    fn of(kind: &SlotKind) -> KindRow {
        match kind {
            SlotKind::Passphrase(parameters) => KindRow::Passphrase {
                algorithm: Algorithm::Argon2id,
                memory_kib: parameters.memory_kib(),
                passes: parameters.passes(),
                lanes: parameters.lanes(),
                salt: hex::encode(parameters.salt()),
            },
            SlotKind::Shares { set, threshold } => KindRow::Shares { set: set.clone(), threshold: *threshold },
            SlotKind::Token(token) => KindRow::Token {
                label: token.label.clone(),
                serial: token.serial.clone(),
                model: token.model.clone(),
                key_id: hex::encode(&token.key_id),
                mechanism: token.mechanism.clone(),
                wrapped: hex::encode(&token.wrapped),
            },
            SlotKind::Age { recipients, ciphertext } => {
                KindRow::Age { recipients: recipients.clone(), ciphertext: ciphertext.clone() }
            }
        }
    }
}

impl SealedRow {
    fn of(sealed: &Sealed) -> SealedRow {
        SealedRow { nonce: hex::encode(sealed.nonce), ciphertext: hex::encode(&sealed.ciphertext) }
    }

    /// Reads a ciphertext whose text in the clear has a length within `range`.
    fn read(&self, range: std::ops::RangeInclusive<usize>) -> Result<Sealed, SealingError> {
        let sealed = Sealed { nonce: array::<NONCE_BYTES>(&self.nonce)?, ciphertext: bytes(&self.ciphertext)? };
        let length = sealed.ciphertext.len().checked_sub(TAG_BYTES);
        if length.is_some_and(|length| range.contains(&length)) {
            Ok(sealed)
        } else {
            Err(SealingError::Value("a ciphertext"))
        }
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, SealingError> {
    hex::decode(text).map_err(|_| SealingError::Value("a hexadecimal value"))
}

fn array<const N: usize>(text: &str) -> Result<[u8; N], SealingError> {
    let mut array = [0; N];
    hex::decode_to_slice(text, &mut array).map_err(|_| SealingError::Value("a hexadecimal value"))?;
    Ok(array)
}
