//! What follows from the journal's records, and nothing else: rebuilt at every start.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::OutPoint;
use chains::bitcoin::WalletDescriptor;
use policy::{BookEntry, Charter};
use types::{CustomerId, Digest, Instruction, InstructionId, KeyKind, KeyState, Latch, Moment, SignerId, WalletId};

use crate::life::{Actor, Authorised, Ceremony, KeyName, Life};
use crate::record::{Event, Intended, KeyMove, Nonsense, Paid, Record};
use crate::spending::{Reserved, Spending};

/// What an instruction's identifier stands for since it was first prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The only digest under this identifier.
    pub digest: Digest,
    /// The coin that every transaction for it must spend; none after a quorum released it.
    pub anchor: Option<OutPoint>,
}

/// A transaction that was released here, and of which nobody has proved what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The wallet that pays.
    pub wallet: WalletId,
    /// What it pays for: identifier, digest and canonical form.
    pub instructions: Vec<(InstructionId, Digest, String)>,
}

/// The signer's memory.
#[derive(Debug, Default)]
pub struct State {
    /// The charter in force.
    pub charter: Option<Charter>,
    /// The charter under which this signer was restored.
    pub base: Option<Digest>,
    /// Since when this journal has everything that was ever signed with this signer's keys; none for always. Before it, another journal
    /// may have had more: the signer was restored, or people opened it although its journal was behind or no peer vouched for it.
    pub whole_since: Option<Moment>,
    /// Time of the newest record.
    pub last: Option<Moment>,
    /// Instructions that were prepared.
    pub pinned: BTreeMap<InstructionId, Pinned>,
    /// What counts towards limits.
    pub spending: Spending,
    /// Every transaction whose signatures were handed out.
    pub released: BTreeSet<Digest>,
    /// The same in the order of the journal, each once.
    pub releases: Vec<Digest>,
    /// Those of which nobody has proved what came of them.
    pub standing: BTreeMap<Digest, Standing>,
    /// Newest heads of peers.
    pub peers: BTreeMap<SignerId, (u64, Digest)>,
    /// Closed latches with their reasons, and since when.
    pub latches: BTreeMap<Latch, (String, Moment)>,
    /// Highest change index in each wallet.
    pub change_index: BTreeMap<WalletId, u32>,
    /// When everything was first there for an instruction in a tier that waits, by digest and tier.
    pub complete: BTreeMap<Digest, BTreeMap<String, Moment>>,
    /// Destinations that quorums let in, by customer.
    pub book: BTreeMap<CustomerId, Vec<BookEntry>>,
    /// Instructions that were carried out here and move no coins.
    pub executed: BTreeSet<InstructionId>,
    /// The lives of keys.
    pub life: Life,
}

/// The name of a wallet's verification keys: what they are and how many must sign, in whatever order and spelling a charter has them, and
/// whatever it calls the wallet. A descriptor that cannot be read stands for itself.
pub fn verification_key(wallet: &policy::Wallet, network: types::Network) -> String {
    let text = match WalletDescriptor::parse(&wallet.descriptor, network) {
        Ok(descriptor) => {
            let mut keys: Vec<String> = descriptor.keys().iter().map(|key| key.public_key().to_string()).collect();
            keys.sort();
            format!("{}\n{}", descriptor.threshold(), keys.join("\n"))
        }
        Err(_) => wallet.descriptor.clone(),
    };
    let digest = Digest::of(&[b"claviger-verification-v1\n", text.as_bytes()]).to_string();
    digest.get(..32).unwrap_or_default().to_owned()
}

/// What a charter does to verification keys (K2): a new wallet's are in use, one that it no longer names are suspended. Addresses
/// of both are watched for ever.
///
/// # Errors
/// [`types::ForbiddenMove`] when a wallet whose keys were suspended comes back.
pub fn verification_moves(life: &Life, charter: &Charter) -> Result<Vec<KeyMove>, types::ForbiddenMove> {
    let kind = KeyKind::Verification;
    let mut moves = Vec::new();
    let named: BTreeSet<String> =
        charter.wallets.iter().map(|wallet| verification_key(wallet, charter.network)).collect();
    let mut go = |name: &str, from: &str, to: KeyState| {
        let (name, from, to) = (name.to_owned(), from.to_owned(), to.to_string());
        moves.push(KeyMove { kind: kind.to_string(), name, from, to });
    };
    for name in &named {
        match life.state(&KeyName { kind, name: name.clone() }) {
            None => {
                go(name, "", KeyState::Generated);
                go(name, KeyState::Generated.as_str(), KeyState::InUse);
            }
            Some(KeyState::InUse) => {}
            Some(state) => kind.check(state, KeyState::InUse)?,
        }
    }
    for (key, entry) in life.of_kind(kind) {
        if entry.state == KeyState::InUse && !named.contains(&key.name) {
            go(&key.name, KeyState::InUse.as_str(), KeyState::Suspended);
        }
    }
    Ok(moves)
}

impl State {
    /// Takes one record into account.
    pub fn apply(&mut self, record: &Record) -> Result<(), Nonsense> {
        let at = Moment::from_micros(record.at);
        match &record.event {
            Event::Charter { text } => {
                let charter = Charter::from_bytes(text.as_bytes()).map_err(|_| Nonsense)?;
                let moves = verification_moves(&self.life, &charter).map_err(|_| Nonsense)?;
                let cause = format!("charter version {}", charter.version);
                self.life.apply(&moves, &Actor { cause, ..Actor::default() }, at)?;
                self.charter = Some(charter);
            }
            Event::Base { charter } => {
                self.base = Some(charter.parse().map_err(|_| Nonsense)?);
                self.whole_since = Some(at);
            }
            Event::Intent { instructions, change_index, .. } => {
                for intended in instructions {
                    self.intend(intended, *change_index)?;
                }
            }
            Event::Peer { signer, seq, hash } => {
                let head = (*seq, hash.parse().map_err(|_| Nonsense)?);
                self.peers.insert(signer.parse().map_err(|_| Nonsense)?, head);
            }
            Event::Frozen { latch, reason } => {
                self.latches.insert(latch.parse().map_err(|_| Nonsense)?, (reason.clone(), at));
            }
            Event::Opened { latch, instruction } => {
                let latch = latch.parse().map_err(|_| Nonsense)?;
                self.latches.remove(&latch);
                if matches!(latch, Latch::AwaitingPeers | Latch::JournalBehind) {
                    self.whole_since = Some(at);
                }
                self.executed.insert(instruction.parse().map_err(|_| Nonsense)?);
            }
            Event::AnchorReleased { payment, instruction } => {
                let pinned = self.pinned.get_mut(&payment.parse().map_err(|_| Nonsense)?).ok_or(Nonsense)?;
                pinned.anchor = None;
                self.executed.insert(instruction.parse().map_err(|_| Nonsense)?);
            }
            Event::Complete { digest, tier } => {
                let waits = self.complete.entry(digest.parse().map_err(|_| Nonsense)?).or_default();
                waits.entry(tier.clone()).or_insert(at);
            }
            Event::Entered { customer, address, instruction } => {
                let customer: CustomerId = customer.parse().map_err(|_| Nonsense)?;
                let entry = BookEntry { customer: customer.clone(), address: address.clone(), since: at };
                self.book.entry(customer).or_default().push(entry);
                self.executed.insert(instruction.parse().map_err(|_| Nonsense)?);
            }
            Event::Released { wallet, signatures, txid, paid, left, .. } => {
                let wallet = wallet.parse().map_err(|_| Nonsense)?;
                self.life.signed(&wallet, signatures)?;
                let transaction = txid.parse().map_err(|_| Nonsense)?;
                self.hand_out(transaction, wallet, paid)?;
                if *left {
                    self.leave(&transaction, at);
                }
            }
            Event::Left { txid } => self.leave(&txid.parse().map_err(|_| Nonsense)?, at),
            Event::Never { instruction } => self.never(&instruction.parse().map_err(|_| Nonsense)?, at),
            Event::Keys { moves, by } => self.life.apply(moves, &by.into(), at)?,
            Event::Device { account, facts, holders, certificate, moves, by } => {
                self.life.device(*account, facts, holders, certificate)?;
                self.life.apply(moves, &by.into(), at)?;
            }
            Event::CanarySigned { signature } => self.life.drew(std::slice::from_ref(signature))?,
            Event::Authorised { wallet, until, signatures, account, created, instruction } => {
                let instruction: InstructionId = instruction.parse().map_err(|_| Nonsense)?;
                let wallet = wallet.parse().map_err(|_| Nonsense)?;
                self.executed.insert(instruction.clone());
                let (until, created) = (Moment::from_micros(*until), Moment::from_micros(*created));
                let authorised = Authorised { instruction, created, at, account: *account, until, left: *signatures };
                self.life.authorised.insert(wallet, authorised);
            }
            Event::Ceremony { step, detail, moves, by, instruction } => {
                self.life.apply(moves, &by.into(), at)?;
                if !instruction.is_empty() {
                    self.executed.insert(instruction.parse().map_err(|_| Nonsense)?);
                }
                let (step, detail) = (step.clone(), detail.clone());
                self.life.ceremonies.push(Ceremony { at, step, detail, by: by.into() });
            }
            Event::Beat => {}
        }
        self.last = Some(at);
        Ok(())
    }

    fn intend(&mut self, intended: &Intended, change_index: Option<u32>) -> Result<(), Nonsense> {
        let id: InstructionId = intended.id.parse().map_err(|_| Nonsense)?;
        let wallet: WalletId = intended.wallet.parse().map_err(|_| Nonsense)?;
        let anchor = Some(intended.anchor.parse().map_err(|_| Nonsense)?);
        let digest = intended.digest.parse().map_err(|_| Nonsense)?;
        self.pinned.insert(id.clone(), Pinned { digest, anchor });
        if let Some(index) = change_index {
            let highest = self.change_index.entry(wallet.clone()).or_default();
            *highest = (*highest).max(index);
        }
        Ok(())
    }

    fn hand_out(&mut self, transaction: Digest, wallet: WalletId, paid: &[Paid]) -> Result<(), Nonsense> {
        let mut instructions = Vec::with_capacity(paid.len());
        for one in paid {
            let instruction = Instruction::from_canonical(one.canonical.as_bytes()).map_err(|_| Nonsense)?;
            let (id, digest) = (instruction.id.clone(), instruction.digest());
            let amount = one.amount.parse().map_err(|_| Nonsense)?;
            let (wallet, tier) = (wallet.clone(), one.tier.clone());
            self.spending.released(transaction, &Reserved { id: id.clone(), wallet, tier, amount });
            instructions.push((id, digest, one.canonical.clone()));
        }
        if self.released.insert(transaction) {
            self.releases.push(transaction);
        }
        if self.spending.is_open(&transaction) {
            self.standing.insert(transaction, Standing { wallet, instructions });
        }
        Ok(())
    }

    fn leave(&mut self, transaction: &Digest, at: Moment) {
        self.spending.left(transaction, at);
        self.settle();
    }

    fn never(&mut self, instruction: &InstructionId, at: Moment) {
        self.spending.never(instruction, at);
        self.settle();
    }

    /// Forgets what counts no more in full.
    fn settle(&mut self) {
        let spending = &self.spending;
        self.standing.retain(|transaction, _| spending.is_open(transaction));
    }
}
