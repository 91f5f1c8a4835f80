//! What a signer remembers: the journal's records.

use serde::{Deserialize, Serialize};

use crate::device::DeviceFacts;

/// One thing that happened, with the signer's time in microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When; never before the record in front.
    pub at: i64,
    /// What.
    pub event: Event,
}

/// The kinds of record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A charter was taken; its quorum was verified before this was written.
    Charter {
        /// Canonical bytes, as text.
        text: String,
    },
    /// This signer was restored under a charter: it adopts none that does not come from it.
    Base {
        /// The charter's digest.
        charter: String,
    },
    /// A transaction will be signed. Written, and remembered by a peer, before any signature exists.
    Intent {
        /// What it pays for.
        instructions: Vec<Intended>,
        /// The transaction's identifier.
        txid: String,
        /// Index of its change address.
        change_index: Option<u32>,
    },
    /// Its signatures were handed out: from here on it counts towards limits.
    Released {
        /// Number of the intent's record.
        intent: u64,
        /// The wallet.
        wallet: String,
        /// The transaction's identifier.
        txid: String,
        /// What it pays for.
        paid: Vec<Paid>,
        /// Whether it counts as having left at once: nobody else's signature is needed, or nobody is there who could tell of it.
        left: bool,
        /// Of each signature, the first 16 bytes of its nonce point and of the digest that it signs, hexadecimal.
        signatures: Vec<(String, String)>,
    },
    /// As many signers as its wallet asks for said that they have released this transaction: its charge ages from now on.
    Left {
        /// The transaction's identifier.
        txid: String,
    },
    /// So many signers said that an instruction expired and was never released by them that no transaction for it can be whole.
    Never {
        /// The instruction's identifier.
        instruction: String,
    },
    /// Keys moved from state to state, all at once.
    Keys {
        /// The moves, in order.
        moves: Vec<KeyMove>,
        /// Who.
        by: By,
    },
    /// A key was made inside a device, or such a key was opened.
    Device {
        /// Number of the account.
        account: u32,
        /// What the device said of itself.
        facts: DeviceFacts,
        /// Who holds its PIN; written when the key is made.
        holders: Vec<String>,
        /// The device's certificate as people noted it; written when the key is made.
        certificate: String,
        /// Keys that moved by it.
        moves: Vec<KeyMove>,
        /// Who.
        by: By,
    },
    /// A device's key signed a canary.
    CanarySigned {
        /// The first 16 bytes of the signature's nonce point and of a digest of what it signs, hexadecimal.
        signature: (String, String),
    },
    /// A key quorum allowed a wallet's key to be opened.
    Authorised {
        /// The wallet.
        wallet: String,
        /// From when on it ends, in microseconds since 1970.
        until: i64,
        /// How many signatures.
        signatures: u64,
        /// The account whose key it is.
        account: u32,
        /// When the instruction was made, in microseconds since 1970.
        created: i64,
        /// The instruction's identifier.
        instruction: String,
    },
    /// A ceremony was held.
    Ceremony {
        /// Which step.
        step: String,
        /// What came of it, in words; nothing secret.
        detail: String,
        /// Keys that moved by it.
        moves: Vec<KeyMove>,
        /// Who.
        by: By,
        /// The instruction's identifier; empty for what needs none.
        instruction: String,
    },
    /// The newest head of a peer's journal.
    Peer {
        /// Whose.
        signer: String,
        /// Number of the record.
        seq: u64,
        /// Its hash.
        hash: String,
    },
    /// A latch closed.
    Frozen {
        /// Which.
        latch: String,
        /// Why.
        reason: String,
    },
    /// An instruction opened a latch.
    Opened {
        /// Which.
        latch: String,
        /// The instruction's identifier.
        instruction: String,
    },
    /// An instruction released an anchor.
    AnchorReleased {
        /// The payment whose anchor it was.
        payment: String,
        /// The instruction's identifier.
        instruction: String,
    },
    /// Everything that a tier asks for an instruction was there for the first time; its delay begins.
    Complete {
        /// The instruction's digest.
        digest: String,
        /// The tier.
        tier: String,
    },
    /// An instruction let a destination into a customer's address book.
    Entered {
        /// Whose.
        customer: String,
        /// The address.
        address: String,
        /// The instruction's identifier.
        instruction: String,
    },
    /// Time went by and nothing happened.
    Beat,
}

/// One instruction in an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intended {
    /// Its identifier.
    pub id: String,
    /// Its digest: the identifier never means anything else again.
    pub digest: String,
    /// The coin that every transaction for it must spend, as `txid:vout`.
    pub anchor: String,
    /// The wallet.
    pub wallet: String,
    /// The tier in which it counts.
    pub tier: String,
    /// Payout and share of the fee in full, in base units.
    pub amount: String,
}

/// One instruction in what was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    /// Its canonical form: peers are asked about it until it is known what came of it.
    pub canonical: String,
    /// The tier in which it counts.
    pub tier: String,
    /// Payout and share of the fee in full, in base units.
    pub amount: String,
}

/// A record whose content makes no sense, although its hash is right: written by another version, or by a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of the journal makes no sense to this version")]
pub struct Nonsense;

/// One move of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyMove {
    /// Kind of key.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The state before; empty for a key that was just made.
    pub from: String,
    /// The state after.
    pub to: String,
}

/// Who did something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The person.
    pub person: String,
    /// The terminal.
    pub terminal: String,
    /// An instruction's identifier, or what else brought it about.
    pub cause: String,
}

impl From<&By> for crate::life::Actor {
    fn from(by: &By) -> crate::life::Actor {
        crate::life::Actor { person: by.person.clone(), terminal: by.terminal.clone(), cause: by.cause.clone() }
    }
}

impl From<&crate::life::Actor> for By {
    fn from(actor: &crate::life::Actor) -> By {
        By { person: actor.person.clone(), terminal: actor.terminal.clone(), cause: actor.cause.clone() }
    }
}
