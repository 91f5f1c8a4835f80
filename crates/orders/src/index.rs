use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

/// Finds our addresses among all outputs of a block. Keeps 64 bits of a keyed hash of each script and the address's
/// number: 28 bytes for each address at ten million. A hit is a question, not an answer: the caller compares the whole script.
#[derive(Debug, Default)]
pub struct AddressIndex {
    /// Keyed afresh in each process, so that nobody can prepare scripts that collide.
    key: RandomState,
    slots: HashMap<u64, u32, BuildHasherDefault<Identity>>,
    /// Addresses whose fingerprint was taken already; practically none.
    crowded: Vec<(u64, u32)>,
}

/// Fingerprints are hashes already.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl AddressIndex {
    /// Room for so many addresses without growing on the way.
    pub fn reserve(&mut self, addresses: usize) {
        self.slots.reserve(addresses);
    }

    /// Adds an address by its script.
    pub fn insert(&mut self, script: &[u8], address: u32) {
        let fingerprint = self.key.hash_one(script);
        match self.slots.get(&fingerprint) {
            Some(known) if *known != address => self.crowded.push((fingerprint, address)),
            Some(_) => {}
            None => {
                self.slots.insert(fingerprint, address);
            }
        }
    }

    /// Numbers of addresses that may have this script.
    pub fn candidates(&self, script: &[u8]) -> impl Iterator<Item = u32> {
        let fingerprint = self.key.hash_one(script);
        let crowded = self.crowded.iter().filter(move |(taken, _)| *taken == fingerprint).map(|(_, address)| *address);
        self.slots.get(&fingerprint).copied().into_iter().chain(crowded)
    }

    /// How many addresses there are.
    pub fn len(&self) -> usize {
        self.slots.len() + self.crowded.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
