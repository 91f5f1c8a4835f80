//! What follows from the journal's records, and nothing else: rebuilt at every start.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::OutPoint;
use policy::{BookEntry, Charter, Spent};
use types::{Amount, Digest, InstructionId, Moment, SignerId, WalletId};

use crate::record::{Event, Intended, Record};

/// What an instruction's identifier stands for since it was first prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The only digest under this identifier.
    pub digest: Digest,
    /// The coin that every transaction for it must spend; none after a quorum released it.
    pub anchor: Option<OutPoint>,
}

/// The signer's memory.
#[derive(Debug, Default)]
pub struct State {
    /// The charter in force.
    pub charter: Option<Charter>,
    /// Time of the newest record.
    pub last: Option<Moment>,
    /// Instructions that were prepared.
    pub pinned: BTreeMap<InstructionId, Pinned>,
    /// What counts towards limits.
    pub spent: Vec<(InstructionId, Spent)>,
    /// Newest heads of peers.
    pub peers: BTreeMap<SignerId, (u64, Digest)>,
    /// Closed latches with their reasons.
    pub latches: BTreeMap<String, String>,
    /// Highest change index in each wallet.
    pub change_index: BTreeMap<WalletId, u32>,
    /// When everything was first there for an instruction whose tier waits, by digest.
    pub complete: BTreeMap<Digest, Moment>,
    /// Destinations that quorums let in.
    pub book: Vec<BookEntry>,
    /// Instructions that were carried out here and move no coins.
    pub executed: BTreeSet<InstructionId>,
}

/// A record whose content makes no sense, although its hash is right: written by another version, or by a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of the journal makes no sense to this version")]
pub struct Nonsense;

impl State {
    /// Takes one record into account.
    pub fn apply(&mut self, record: &Record) -> Result<(), Nonsense> {
        let at = Moment::from_micros(record.at);
        match &record.event {
            Event::Charter { text } => {
                self.charter = Some(Charter::from_bytes(text.as_bytes()).map_err(|_| Nonsense)?);
            }
            Event::Intent { instructions, change_index, .. } => {
                for intended in instructions {
                    self.intend(intended, at, *change_index)?;
                }
            }
            Event::Peer { signer, seq, hash } => {
                let head = (*seq, hash.parse().map_err(|_| Nonsense)?);
                self.peers.insert(signer.parse().map_err(|_| Nonsense)?, head);
            }
            Event::Frozen { latch, reason } => {
                self.latches.insert(latch.clone(), reason.clone());
            }
            Event::Opened { latch, instruction } => {
                self.latches.remove(latch);
                self.executed.insert(instruction.parse().map_err(|_| Nonsense)?);
            }
            Event::AnchorReleased { payment, instruction } => {
                let pinned = self.pinned.get_mut(&payment.parse().map_err(|_| Nonsense)?).ok_or(Nonsense)?;
                pinned.anchor = None;
                self.executed.insert(instruction.parse().map_err(|_| Nonsense)?);
            }
            Event::Complete { digest } => {
                self.complete.entry(digest.parse().map_err(|_| Nonsense)?).or_insert(at);
            }
            Event::Entered { customer, address, instruction } => {
                let customer = customer.parse().map_err(|_| Nonsense)?;
                self.book.push(BookEntry { customer, address: address.clone(), since: at });
                self.executed.insert(instruction.parse().map_err(|_| Nonsense)?);
            }
            Event::Released { .. } | Event::Beat => {}
        }
        self.last = Some(at);
        Ok(())
    }

    fn intend(&mut self, intended: &Intended, at: Moment, change_index: Option<u32>) -> Result<(), Nonsense> {
        let id: InstructionId = intended.id.parse().map_err(|_| Nonsense)?;
        let wallet: WalletId = intended.wallet.parse().map_err(|_| Nonsense)?;
        let anchor = Some(intended.anchor.parse().map_err(|_| Nonsense)?);
        let digest = intended.digest.parse().map_err(|_| Nonsense)?;
        self.pinned.insert(id.clone(), Pinned { digest, anchor });
        if let Some(index) = change_index {
            let highest = self.change_index.entry(wallet.clone()).or_default();
            *highest = (*highest).max(index);
        }
        let amount: Amount = intended.charge.parse().map_err(|_| Nonsense)?;
        if !amount.is_zero() {
            self.spent.push((id, Spent { at, wallet, tier: intended.tier.clone(), amount }));
        }
        Ok(())
    }

    /// What was counted for an instruction so far.
    pub fn charged(&self, id: &InstructionId) -> Amount {
        let own = self.spent.iter().filter(|(spender, _)| spender == id).map(|(_, spent)| spent.amount);
        // A sum that overflows can only make the next charge smaller, so it counts as nothing.
        Amount::checked_sum(own).unwrap_or(Amount::ZERO)
    }

    /// What others than this instruction used.
    pub fn spent_by_others(&self, id: &InstructionId) -> Vec<Spent> {
        self.spent.iter().filter(|(spender, _)| spender != id).map(|(_, spent)| spent.clone()).collect()
    }
}
