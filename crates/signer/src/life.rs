//! The lives of this signer's keys, as the journal's records tell them. Nothing here is ever removed: a key out of use stays
//! on the board, since its address can still receive.

use std::collections::{BTreeMap, BTreeSet};

use types::{InstructionId, KeyKind, KeyState, Moment, OperatorId, WalletId};

use crate::device::DeviceFacts;
use crate::record::{KeyMove, Nonsense};

/// A key by kind and name, such as `signature` and `0` for the first account's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName {
    /// What kind.
    pub kind: KeyKind,
    /// Account, wallet with the beginning of its descriptor's digest, fingerprint, or the sealing key's identifier.
    pub name: String,
}

impl KeyName {
    /// The signature key of an account.
    pub fn signature(account: u32) -> KeyName {
        KeyName { kind: KeyKind::Signature, name: account.to_string() }
    }
}

impl std::fmt::Display for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// Who did something, where, and by what right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The person.
    pub person: String,
    /// The terminal at which the person was.
    pub terminal: String,
    /// An instruction's identifier, or what else brought it about.
    pub cause: String,
}

/// What is known of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its state.
    pub state: KeyState,
    /// Since when.
    pub since: Moment,
    /// Who brought it there.
    pub by: Actor,
    /// How long it was open so far, in seconds, what is open now not counted.
    pub active_seconds: i64,
    /// How often it moved.
    pub moves: u64,
}

/// What a key quorum allowed: one wallet's key, for a time and a number of signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorised {
    /// By which instruction.
    pub instruction: InstructionId,
    /// When that instruction was made: an older one that comes late changes nothing.
    pub created: Moment,
    /// When the signer heard of it.
    pub at: Moment,
    /// Of which account's key it speaks, whatever wallet has that name later.
    pub account: u32,
    /// From when on it ends.
    pub until: Moment,
    /// Signatures that are left.
    pub left: u64,
}

/// A ceremony that was held: a backup, a rehearsal, a movement of media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceremony {
    /// When.
    pub at: Moment,
    /// Which.
    pub step: String,
    /// What came of it, in words; nothing secret.
    pub detail: String,
    /// Who.
    pub by: Actor,
}

/// The device that holds an account's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What it said of itself last.
    pub facts: DeviceFacts,
    /// Who holds its PIN.
    pub holders: BTreeSet<OperatorId>,
    /// Its certificate, as people noted it.
    pub certificate: String,
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, serial number {}", self.facts.kind(), self.facts.serial)?;
        if self.certificate.is_empty() { Ok(()) } else { write!(f, ", certificate {}", self.certificate) }
    }
}

/// The board of keys.
#[derive(Debug, Default)]
pub struct Life {
    keys: BTreeMap<KeyName, Entry>,
    /// What quorums allowed last, by wallet.
    pub authorised: BTreeMap<WalletId, Authorised>,
    /// Ceremonies, oldest first.
    pub ceremonies: Vec<Ceremony>,
    /// Devices that hold keys, by account.
    pub devices: BTreeMap<u32, Device>,
    /// Beginnings of nonce points (R's x coordinate) with the beginning of the digest that each signed.
    nonces: BTreeMap<[u8; 16], [u8; 16]>,
}

impl Life {
    /// Every key with what is known of it.
    pub fn keys(&self) -> impl Iterator<Item = (&KeyName, &Entry)> {
        self.keys.iter()
    }

    /// The state of a key, if there is one.
    pub fn state(&self, key: &KeyName) -> Option<KeyState> {
        self.keys.get(key).map(|entry| entry.state)
    }

    /// Every key of one kind.
    pub fn of_kind(&self, kind: KeyKind) -> impl Iterator<Item = (&KeyName, &Entry)> {
        self.keys.iter().filter(move |(name, _)| name.kind == kind)
    }

    /// Takes moves into account; refuses what the tables do not have, and a move from another state than the key's own.
    pub fn apply(&mut self, moves: &[KeyMove], by: &Actor, at: Moment) -> Result<(), Nonsense> {
        for one in moves {
            let kind: KeyKind = one.kind.parse().map_err(|_| Nonsense)?;
            let to: KeyState = one.to.parse().map_err(|_| Nonsense)?;
            let name = KeyName { kind, name: one.name.clone() };
            let Some(entry) = self.keys.get_mut(&name) else {
                // A key's first record says that it was made.
                if one.from.is_empty() && to == KeyState::Generated {
                    let entry = Entry { state: to, since: at, by: by.clone(), active_seconds: 0, moves: 1 };
                    self.keys.insert(name, entry);
                    continue;
                }
                return Err(Nonsense);
            };
            let from: KeyState = one.from.parse().map_err(|_| Nonsense)?;
            if entry.state != from || kind.check(from, to).is_err() {
                return Err(Nonsense);
            }
            let open = |state| matches!(state, KeyState::Active | KeyState::InUse);
            if kind == KeyKind::Signature && open(from) {
                let passed = at.seconds().saturating_sub(entry.since.seconds()).max(0);
                entry.active_seconds = entry.active_seconds.saturating_add(passed);
            }
            *entry = Entry {
                state: to,
                since: at,
                by: by.clone(),
                active_seconds: entry.active_seconds,
                moves: entry.moves.saturating_add(1),
            };
        }
        Ok(())
    }

    /// Counts signatures that were handed out, and remembers their nonces.
    pub fn signed(&mut self, wallet: &WalletId, signatures: &[(String, String)]) -> Result<(), Nonsense> {
        let count = u64::try_from(signatures.len()).unwrap_or(u64::MAX);
        if let Some(authorised) = self.authorised.get_mut(wallet) {
            authorised.left = authorised.left.saturating_sub(count);
        }
        self.drew(signatures)
    }

    /// Remembers the nonces of signatures.
    pub fn drew(&mut self, signatures: &[(String, String)]) -> Result<(), Nonsense> {
        for (nonce, digest) in signatures {
            let read = |text: &str| {
                let mut bytes = [0; 16];
                hex::decode_to_slice(text, &mut bytes).map(|()| bytes).map_err(|_| Nonsense)
            };
            self.nonces.insert(read(nonce)?, read(digest)?);
        }
        Ok(())
    }

    /// Whether this nonce point has signed something else before: then the key would be readable from both signatures.
    pub fn repeats(&self, nonce: &[u8; 16], digest: &[u8; 16]) -> bool {
        self.nonces.get(nonce).is_some_and(|before| before != digest)
    }

    /// Takes note of the device that holds an account's key: of its holders and certificate when the key is made, which then stay.
    pub fn device(
        &mut self,
        account: u32,
        facts: &DeviceFacts,
        holders: &[String],
        certificate: &str,
    ) -> Result<(), Nonsense> {
        if let Some(device) = self.devices.get_mut(&account) {
            device.facts = facts.clone();
            return if holders.is_empty() { Ok(()) } else { Err(Nonsense) };
        }
        let holders: Result<BTreeSet<OperatorId>, _> = holders.iter().map(|name| name.parse()).collect();
        let holders = holders.map_err(|_| Nonsense)?;
        if holders.is_empty() {
            return Err(Nonsense);
        }
        let device = Device { facts: facts.clone(), holders, certificate: certificate.to_owned() };
        self.devices.insert(account, device);
        Ok(())
    }

    /// When a ceremony of this kind was held last.
    pub fn last(&self, step: &str) -> Option<Moment> {
        self.ceremonies.iter().rev().find(|ceremony| ceremony.step == step).map(|ceremony| ceremony.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn move_of(from: &str, to: &str) -> KeyMove {
        KeyMove { kind: "signature".to_owned(), name: "0".to_owned(), from: from.to_owned(), to: to.to_owned() }
    }

    #[test]
    fn open_seconds_add_up_and_impossible_records_are_refused() {
        let mut life = Life::default();
        let by = Actor::default();
        let at = Moment::from_seconds;
        assert!(life.apply(&[move_of("generated", "inactive")], &by, at(1)).is_err(), "nobody made it");
        life.apply(&[move_of("", "generated"), move_of("generated", "inactive")], &by, at(1)).unwrap();
        for round in 0..3_i64 {
            let start = 10 + round * 100;
            life.apply(&[move_of("inactive", "active"), move_of("active", "in-use")], &by, at(start)).unwrap();
            assert!(life.apply(&[move_of("inactive", "active")], &by, at(start)).is_err(), "it is open already");
            life.apply(&[move_of("in-use", "inactive")], &by, at(start + 7)).unwrap();
        }
        let (_, entry) = life.keys().next().unwrap();
        assert_eq!((entry.active_seconds, entry.moves), (21, 11));
        life.apply(&[move_of("inactive", "suspended")], &by, at(999)).unwrap();
        for state in KeyState::ALL {
            assert!(life.apply(&[move_of("suspended", state.as_str())], &by, at(1_000)).is_err());
        }
    }

    #[test]
    fn a_nonce_that_signs_twice_is_known_and_the_same_signature_again_is_none() {
        let mut life = Life::default();
        let text = |byte: u8| hex::encode([byte; 16]);
        life.signed(&"hot".parse().unwrap(), &[(text(1), text(7))]).unwrap();
        assert!(!life.repeats(&[1; 16], &[7; 16]));
        assert!(life.repeats(&[1; 16], &[8; 16]));
        assert!(!life.repeats(&[2; 16], &[8; 16]));
        assert!(life.signed(&"hot".parse().unwrap(), &[("x".to_owned(), text(7))]).is_err());
    }
}
