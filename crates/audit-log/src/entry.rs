use types::{Digest, Moment};

/// What is to be written down. Never holds anything secret: the log is read by auditors and exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// When.
    pub at: Moment,
    /// Who did it: `customer:NAME`, `operator:NAME` or `system`.
    pub actor: String,
    /// What was done, a stable word such as `withdrawal.approved`.
    pub action: String,
    /// To what, such as an instruction's identifier.
    pub subject: String,
    /// Anything else worth knowing, in words or JSON.
    pub detail: String,
}

/// An entry in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// What it says.
    pub draft: Draft,
    /// Hash of the entry before it; [`GENESIS`] for the first.
    pub previous: Digest,
    /// Its own hash.
    pub hash: Digest,
}

/// What stands before the first entry.
pub const GENESIS: Digest = Digest::from_bytes([0; 32]);

const DOMAIN: &[u8] = b"claviger-audit-entry-v1\n";

impl Entry {
    /// `SHA-256("claviger-audit-entry-v1\n" || previous || seq || at || fields)`: numbers of 8 bytes, most significant
    /// first; each text after its length, so that no two entries have the same bytes.
    pub fn hash_of(seq: u64, draft: &Draft, previous: &Digest) -> Digest {
        let mut bytes = Vec::with_capacity(128 + draft.detail.len());
        bytes.extend_from_slice(previous.as_bytes());
        bytes.extend_from_slice(&seq.to_be_bytes());
        bytes.extend_from_slice(&draft.at.micros().to_be_bytes());
        for text in [&draft.actor, &draft.action, &draft.subject, &draft.detail] {
            // Lengths of texts in memory fit 64 bits.
            bytes.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        Digest::of(&[DOMAIN, &bytes])
    }
}

/// Puts drafts behind the entry `seq` whose hash is `head`; the first of all stands behind 0 and [`GENESIS`].
pub fn chain(seq: u64, head: Digest, drafts: impl IntoIterator<Item = Draft>) -> Vec<Entry> {
    let mut previous = head;
    let mut seq = seq;
    let place = |draft: Draft| {
        seq += 1;
        let hash = Entry::hash_of(seq, &draft, &previous);
        let entry = Entry { seq, draft, previous, hash };
        previous = hash;
        entry
    };
    drafts.into_iter().map(place).collect()
}
