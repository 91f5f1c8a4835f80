//! The envelope: what may be done with it, and what each step proves first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use types::{Network, OperatorId, SignerId};
use zeroize::Zeroizing;

use crate::cipher::{self, Sealed};
use crate::document;
use crate::error::SealingError;
use crate::keys::{DataKey, K3Id, Kek, Random};
use crate::names::{ItemName, Purpose, SlotName};
use crate::slot::{NewSlot, Slot, SlotKind};

/// Most slots.
pub const SLOTS_MAX: usize = 16;
/// Most items.
pub const ITEMS_MAX: usize = 64;
/// Longest item, in bytes, in the clear.
pub const ITEM_BYTES_MAX: usize = 16_384;

/// Whose secrets these are, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The signer.
    pub signer: SignerId,
    /// Its network.
    pub network: Network,
    /// What they are for.
    pub purpose: Purpose,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.signer, self.network, self.purpose)
    }
}

/// Secrets under one data key, and the slots that give it. Holds ciphertext only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub(crate) k3: K3Id,
    pub(crate) context: Context,
    pub(crate) slots: BTreeMap<SlotName, Slot>,
    pub(crate) items: BTreeMap<ItemName, Sealed>,
    /// Nothing, sealed under the data key and bound to all of the above.
    pub(crate) seal: Sealed,
}

impl Envelope {
    /// Seals `items` under a new data key, which every one of `slots` gives from then on. Refuses to make what nobody can open.
    pub fn create(
        context: Context,
        items: &BTreeMap<ItemName, Zeroizing<Vec<u8>>>,
        slots: Vec<NewSlot>,
        random: &mut Random<'_>,
    ) -> Result<(Envelope, DataKey), SealingError> {
        if slots.is_empty() {
            return Err(SealingError::NoSlot);
        }
        let key = DataKey::random(random)?;
        let seal = Sealed { nonce: [0; cipher::NONCE_BYTES], ciphertext: Vec::new() };
        let mut envelope = Envelope { k3: key.id(), context, slots: BTreeMap::new(), items: BTreeMap::new(), seal };
        for (name, secret) in items {
            envelope.seal_item(&key, name.clone(), secret, random)?;
        }
        for slot in slots {
            envelope.wrap(&key, slot, random)?;
        }
        envelope.seal_whole(&key, random)?;
        Ok((envelope, key))
    }

    /// Identifies the data key. Note it where this file cannot be changed, and compare it before trusting an opened envelope.
    pub const fn k3(&self) -> K3Id {
        self.k3
    }

    /// Whose secrets these are, as the document says. Opening proves it.
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The slots, by name.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    /// One slot.
    pub fn slot(&self, name: &SlotName) -> Result<&Slot, SealingError> {
        self.slots.get(name).ok_or_else(|| SealingError::UnknownSlot(name.clone()))
    }

    /// Names of the items.
    pub fn items(&self) -> impl Iterator<Item = &ItemName> {
        self.items.keys()
    }

    /// Everybody who holds a slot or a part of one: the holders of this K3, to be compared with those who hold the keys themselves.
    pub fn holders(&self) -> BTreeSet<&OperatorId> {
        self.slots.values().flat_map(|slot| slot.holders()).collect()
    }

    /// The key-encryption key that follows from a passphrase, by the slot's own parameters. A wrong passphrase gives a wrong key,
    /// which shows when the slot is opened.
    pub fn passphrase_kek(&self, name: &SlotName, passphrase: &str) -> Result<Kek, SealingError> {
        match self.slot(name)?.kind() {
            SlotKind::Passphrase(parameters) => parameters.derive(passphrase),
            _ => Err(SealingError::NotPassphrase(name.clone())),
        }
    }

    /// Opens a slot and proves the whole document: gives the data key only if every part is as somebody with that key wrote it.
    ///
    /// Errors, in this order: another context than `expected`; no such slot; a wrong key or a changed slot (which cannot be told
    /// apart); a slot made anew for another data key; a change elsewhere.
    pub fn open_slot(&self, expected: &Context, name: &SlotName, kek: &Kek) -> Result<DataKey, SealingError> {
        let key = self.open_slot_of_damaged(expected, name, kek)?;
        self.prove(&key)?;
        Ok(key)
    }

    /// Opens a slot of a document of which another part is damaged. For recovery: items still prove themselves one by one, but any
    /// may be missing or older than the others. What is recovered belongs in a new envelope; this one cannot be changed any more.
    pub fn open_slot_of_damaged(
        &self,
        expected: &Context,
        name: &SlotName,
        kek: &Kek,
    ) -> Result<DataKey, SealingError> {
        if self.context != *expected {
            return Err(SealingError::OtherContext { found: self.context.clone() });
        }
        let slot = self.slot(name)?;
        let binding = document::slot_binding(&self.k3, &self.context, &slot.header)?;
        let key = cipher::open(kek.expose(), &binding, &slot.wrapped);
        let key = key.and_then(|bytes| DataKey::from_slice(&bytes));
        let key = key.ok_or_else(|| SealingError::WrongKey(name.clone()))?;
        if key.id() == self.k3 { Ok(key) } else { Err(SealingError::Substituted(name.clone())) }
    }

    /// Opens an item.
    pub fn open_item(&self, key: &DataKey, name: &ItemName) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        self.own(key)?;
        let sealed = self.items.get(name).ok_or_else(|| SealingError::UnknownItem(name.clone()))?;
        let binding = document::item_binding(&self.k3, &self.context, name)?;
        cipher::open(key.bytes(), &binding, sealed).ok_or_else(|| SealingError::ItemDamaged(name.clone()))
    }

    /// Adds an item, or replaces the one of that name. On an error nothing has changed; so it is for every change below.
    pub fn put_item(
        &mut self,
        key: &DataKey,
        name: ItemName,
        secret: &[u8],
        random: &mut Random<'_>,
    ) -> Result<(), SealingError> {
        self.change(key, random, |next, random| next.seal_item(key, name, secret, random))
    }

    /// Adds a way to open it.
    pub fn add_slot(&mut self, key: &DataKey, slot: NewSlot, random: &mut Random<'_>) -> Result<(), SealingError> {
        self.change(key, random, |next, random| next.wrap(key, slot, random))
    }

    /// Removes a way to open it, never the last. Copies of the file from before can still be opened that way: see
    /// [`Envelope::rekey`].
    pub fn remove_slot(&mut self, key: &DataKey, name: &SlotName, random: &mut Random<'_>) -> Result<(), SealingError> {
        self.change(key, random, |next, _| {
            next.slot(name)?;
            if next.slots.len() == 1 {
                return Err(SealingError::LastSlot(name.clone()));
            }
            next.slots.remove(name);
            Ok(())
        })
    }

    /// Re-keying: the same items under a new data key with a new identifier, opened by `slots` alone. No slot of this envelope
    /// works on the new one.
    ///
    /// Store the new one, read it back and open it before anything of the old one is thrown away.
    pub fn rekey(
        &self,
        key: &DataKey,
        slots: Vec<NewSlot>,
        random: &mut Random<'_>,
    ) -> Result<(Envelope, DataKey), SealingError> {
        self.prove(key)?;
        let open = |name: &ItemName| Ok((name.clone(), self.open_item(key, name)?));
        let items = self.items.keys().map(open).collect::<Result<BTreeMap<_, _>, SealingError>>()?;
        Envelope::create(self.context.clone(), &items, slots, random)
    }

    /// Proves that this key is the document's, and that the document is as somebody with this key wrote it.
    pub fn prove(&self, key: &DataKey) -> Result<(), SealingError> {
        self.own(key)?;
        let binding = document::whole_binding(self)?;
        cipher::open(key.bytes(), &binding, &self.seal).map(|_| ()).ok_or(SealingError::Changed)
    }

    fn own(&self, key: &DataKey) -> Result<(), SealingError> {
        if key.id() == self.k3 { Ok(()) } else { Err(SealingError::OtherDataKey) }
    }

    /// Changes a copy, so that a step that fails leaves this one as it was. A changed document is never sealed as if it were ours.
    fn change(
        &mut self,
        key: &DataKey,
        random: &mut Random<'_>,
        step: impl FnOnce(&mut Envelope, &mut Random<'_>) -> Result<(), SealingError>,
    ) -> Result<(), SealingError> {
        self.prove(key)?;
        let mut next = self.clone();
        step(&mut next, random)?;
        next.seal_whole(key, random)?;
        *self = next;
        Ok(())
    }

    fn seal_item(
        &mut self,
        key: &DataKey,
        name: ItemName,
        secret: &[u8],
        random: &mut Random<'_>,
    ) -> Result<(), SealingError> {
        if secret.len() > ITEM_BYTES_MAX {
            let (bytes, bytes_max) = (secret.len(), ITEM_BYTES_MAX);
            return Err(SealingError::TooLong { what: "an item", bytes, bytes_max });
        }
        if self.items.len() == ITEMS_MAX && !self.items.contains_key(&name) {
            return Err(SealingError::TooMany { what: "items", max: ITEMS_MAX });
        }
        let binding = document::item_binding(&self.k3, &self.context, &name)?;
        self.items.insert(name, cipher::seal(key.bytes(), &binding, secret, random)?);
        Ok(())
    }

    fn wrap(&mut self, key: &DataKey, slot: NewSlot, random: &mut Random<'_>) -> Result<(), SealingError> {
        let NewSlot { header, kek } = slot;
        if self.slots.contains_key(&header.name) {
            return Err(SealingError::SlotExists(header.name));
        }
        if self.slots.len() == SLOTS_MAX {
            return Err(SealingError::TooMany { what: "slots", max: SLOTS_MAX });
        }
        let binding = document::slot_binding(&self.k3, &self.context, &header)?;
        let wrapped = cipher::seal(kek.expose(), &binding, key.bytes(), random)?;
        self.slots.insert(header.name.clone(), Slot { header, wrapped });
        Ok(())
    }

    fn seal_whole(&mut self, key: &DataKey, random: &mut Random<'_>) -> Result<(), SealingError> {
        let binding = document::whole_binding(self)?;
        self.seal = cipher::seal(key.bytes(), &binding, &[], random)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::SlotHeader;

    /// Recipients of `age` are public, so that anybody can encrypt a key of their own to them.
    #[test]
    fn a_slot_made_anew_by_somebody_else_is_named() {
        let mut next = 0;
        let mut random = move |bytes: &mut [u8]| {
            next += 1;
            bytes.fill(next);
            Ok(())
        };
        let name: SlotName = "yubikey".parse().unwrap();
        let slot = |kek: &[u8; 32]| {
            let armour = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n".to_owned();
            let holders = BTreeSet::from(["alice".parse().unwrap()]);
            NewSlot::age(name.clone(), holders, vec!["age1a".to_owned()], armour, Kek::from_bytes(kek)).unwrap()
        };
        let (signer, purpose) = ("signer-1".parse().unwrap(), "seed".parse().unwrap());
        let context = Context { signer, network: Network::Regtest, purpose };
        let (mut envelope, key) =
            Envelope::create(context.clone(), &BTreeMap::new(), vec![slot(&[1; 32])], &mut random).unwrap();
        assert_eq!(envelope.open_slot(&context, &name, &Kek::from_bytes(&[1; 32])).unwrap().id(), key.id());

        // The attacker chooses both keys and keeps the document's name for the old one.
        let (theirs, header): (DataKey, SlotHeader) = (DataKey::random(&mut random).unwrap(), slot(&[2; 32]).header);
        let binding = document::slot_binding(&envelope.k3, &context, &header).unwrap();
        let wrapped = cipher::seal(&[2; 32], &binding, theirs.bytes(), &mut random).unwrap();
        envelope.slots.insert(name.clone(), Slot { header, wrapped });
        envelope.seal_whole(&theirs, &mut random).unwrap();
        let kek = Kek::from_bytes(&[2; 32]);
        assert_eq!(envelope.open_slot(&context, &name, &kek).unwrap_err(), SealingError::Substituted(name.clone()));
        assert_eq!(
            envelope.open_slot_of_damaged(&context, &name, &kek).unwrap_err(),
            SealingError::Substituted(name.clone())
        );
        // Under a name of its own it opens, which is why callers note the name of theirs.
        envelope.k3 = theirs.id();
        assert_ne!(envelope.k3(), key.id());
    }
}
