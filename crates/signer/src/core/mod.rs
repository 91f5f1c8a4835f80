//! The signer's rules: one question in, one answer out. Time is passed in; the journal is the only thing touched.

mod attest;
mod board;
mod device;
mod execute;
mod life;
mod peers;
mod prepare;
mod release;
mod trial;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chains::bitcoin::WalletDescriptor;
use policy::{Charter, SignerIdentity, WalletClass};
use signer_wire::{Limit, ReplyBody, RequestBody};
use types::{Approval, Body, Instruction, Latch, Moment, SignerId, WalletId};

use crate::journal::{Journal, JournalError};
use crate::keys::Keys;
use crate::life::Actor;
use crate::record::{Event, Record};
use crate::refusal::{Code, Refused};
use crate::spending::windows;
use crate::state::State;
pub(crate) use execute::check_quorum;
pub use life::{key_move, path};
pub use prepare::Examined;
pub(crate) use prepare::{read as read_instruction, read_approval};
use release::Waiting;
pub use trial::Trial;

/// Every wallet, and those with a key of this signer's with the number of its account.
type Wallets = (BTreeMap<WalletId, WalletDescriptor>, BTreeMap<WalletId, u32>);

/// One signer.
pub struct Core {
    id: SignerId,
    keys: Keys,
    journal: Journal,
    state: State,
    /// Every wallet of the charter.
    wallets: BTreeMap<WalletId, WalletDescriptor>,
    /// Those of which this signer has a key, with the number of its account.
    own: BTreeMap<WalletId, u32>,
    /// Those whose key is open.
    windows: BTreeMap<WalletId, life::Window>,
    /// Who can open the sealed files, for the board.
    slots: Vec<signer_wire::SlotLine>,
    /// What peers must sign before this signer signs anything; none once they did.
    nonce: Option<String>,
    /// The library that speaks to the device.
    module: Option<PathBuf>,
    pending: Waiting,
}

/// Why a signer does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// Its content.
    #[error("the journal cannot be understood")]
    Nonsense(#[from] crate::record::Nonsense),
    /// What a re-keying left cannot be put right.
    #[error("the sealed files cannot be put right")]
    Vault(#[from] crate::vault::VaultError),
    /// The charter does not fit this signer.
    #[error("the charter does not fit this signer")]
    Charter(#[source] Refused),
    /// No randomness.
    #[error("the system gives no randomness")]
    Random,
}

impl Core {
    /// Opens the journal and rebuilds the memory. The signer then waits for its peers: see [`RequestBody::Admit`].
    pub fn open(id: SignerId, keys: Keys, journal: &Path) -> Result<Core, StartError> {
        let directory = journal.parent().map(Path::to_owned).unwrap_or_default();
        let mut state = State::default();
        let journal = Journal::replay(journal, &mut |record| state.apply(&record).map_err(StartError::from))?;
        let core = Core::begin(id, keys, journal, state)?;
        crate::vault::settle(&directory, &core.state.life)?;
        Ok(core)
    }

    fn begin(id: SignerId, keys: Keys, journal: Journal, state: State) -> Result<Core, StartError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| StartError::Random)?;
        let mut core = Core {
            id,
            keys,
            journal,
            state,
            wallets: BTreeMap::new(),
            own: BTreeMap::new(),
            windows: BTreeMap::new(),
            slots: Vec::new(),
            nonce: Some(hex::encode(nonce)),
            module: None,
            pending: Waiting::default(),
        };
        if let Some(charter) = core.state.charter.clone() {
            (core.wallets, core.own) = core.fitting(&charter).map_err(StartError::Charter)?;
        }
        core.close_after_start().map_err(StartError::Charter)?;
        Ok(core)
    }

    /// Takes the first charter. Done once, by the person who sets the signer up and has compared the digest.
    pub fn adopt_first(&mut self, charter: &Charter, approvals: &[Approval], now: Moment) -> Result<(), Refused> {
        self.adopt_chain(std::slice::from_ref(charter), approvals, now)
    }

    /// Takes the newest charter of a chain that begins with the first one: how a signer comes in that is set up or restored later. One
    /// that was restored takes none that leaves out the charter under which it was.
    pub fn adopt_chain(&mut self, charters: &[Charter], approvals: &[Approval], now: Moment) -> Result<(), Refused> {
        let newest = self.check_chain(charters, approvals)?.clone();
        self.take_charter(&newest, now)
    }

    /// Whether [`Core::adopt_chain`] would take it; the newest charter.
    pub fn check_chain<'a>(&self, charters: &'a [Charter], approvals: &[Approval]) -> Result<&'a Charter, Refused> {
        if self.state.charter.is_some() {
            return Err(Refused::new(Code::CharterHeld, "a charter is held already; later ones follow it"));
        }
        let newest = crate::ceremony::chain::verify(charters, approvals)?;
        if let Some(base) = self.state.base
            && !charters.iter().any(|charter| charter.digest() == base)
        {
            let reason = format!("the chain leaves out the charter {base}, under which this signer was restored");
            return Err(Refused::new(Code::CharterBase, reason));
        }
        self.fitting(newest)?;
        Ok(newest)
    }

    fn take_charter(&mut self, charter: &Charter, at: Moment) -> Result<(), Refused> {
        let (wallets, own) = self.fitting(charter)?;
        let other =
            |wallet: &&WalletId| own.get(*wallet) != self.own.get(*wallet) || self.is_misplaced(wallet, charter);
        let gone: Vec<WalletId> = self.windows.keys().filter(other).cloned().collect();
        let by = Actor { cause: format!("charter version {}", charter.version), ..Actor::default() };
        self.close_keys(&gone, &by, at)?;
        let text = String::from_utf8(charter.to_bytes()).unwrap_or_default();
        self.remember(at, Event::Charter { text })?;
        (self.wallets, self.own) = (wallets, own);
        // What was checked under the old charter is not released under the new one.
        self.pending.clear();
        Ok(())
    }

    /// Answers one question.
    pub fn handle(&mut self, question: &RequestBody, now: Moment) -> ReplyBody {
        let answer = match question {
            RequestBody::Hello => self.hello(),
            RequestBody::Witness { head } => self.witness(head, now),
            RequestBody::Recall { signer, nonce } => self.recall(signer, nonce),
            RequestBody::Admit { statements } => self.admit(statements, now),
            RequestBody::Prepare { instructions, psbt } => self.prepare(instructions, psbt, now),
            RequestBody::Release { ticket, statements } => self.release(ticket, statements, now),
            RequestBody::Canary { challenge } => self.canary(challenge, now),
            RequestBody::Freeze { latch, reason } => self.freeze(latch, reason, now),
            RequestBody::Execute { instruction } => self.execute(instruction, now),
            RequestBody::Adopt { charter, approvals } => self.adopt_next(charter, approvals, now),
            RequestBody::Exposure => self.exposure(now),
            RequestBody::Standing { after } => self.standing(after),
            RequestBody::Releases { from } => Ok(self.releases(*from)),
            RequestBody::Attest { txid, instructions } => self.attest(txid, instructions, now),
            RequestBody::Settle { attestations } => self.settle(attestations, now),
            RequestBody::Board => Ok(self.board(now)),
        };
        answer.unwrap_or_else(|refused| ReplyBody::Refused(refused.into()))
    }

    fn hello(&self) -> Result<ReplyBody, Refused> {
        let charter = self.charter()?;
        Ok(ReplyBody::Hello {
            signer: self.id.to_string(),
            charter: charter.version,
            charter_digest: charter.digest().to_string(),
            head: self.head(),
            latches: self.latches().iter().map(Latch::to_string).collect(),
            nonce: self.nonce.clone().unwrap_or_default(),
        })
    }

    /// Latches that are closed.
    pub fn latches(&self) -> Vec<Latch> {
        let waiting = self.awaits_peers().then_some(Latch::AwaitingPeers);
        self.state.latches.keys().cloned().chain(waiting).collect()
    }

    /// The charter in force.
    pub fn charter(&self) -> Result<&Charter, Refused> {
        self.state
            .charter
            .as_ref()
            .ok_or_else(|| Refused::new(Code::NoCharter, "this signer has not taken a charter yet"))
    }

    /// The other signers that are connected, and so can remember.
    pub(crate) fn peers(&self) -> Result<Vec<SignerIdentity>, Refused> {
        let connected = |signer: &&SignerIdentity| signer.id != self.id && !signer.offline;
        Ok(self.charter()?.signers.iter().filter(connected).cloned().collect())
    }

    /// Its name.
    pub const fn id(&self) -> &SignerId {
        &self.id
    }

    /// The network whose coins it signs for.
    pub const fn network(&self) -> types::Network {
        self.keys.network()
    }

    /// What everyone may know of its accounts.
    pub fn accounts(&self) -> &[chains::bitcoin::AccountKey] {
        self.keys.accounts()
    }

    /// Who administers its machine, by the charter.
    pub fn custodians(&self) -> &[types::OperatorId] {
        let own = self.state.charter.as_ref().and_then(|charter| charter.signer(&self.id));
        own.map_or(&[], |own| &own.custodians)
    }

    /// The state of a key, if this signer ever had it.
    pub fn key_state(&self, key: &crate::life::KeyName) -> Option<types::KeyState> {
        self.state.life.state(key)
    }

    /// Version of the charter that it holds; 0 when it holds none.
    pub fn charter_version(&self) -> u64 {
        self.state.charter.as_ref().map_or(0, |charter| charter.version)
    }

    /// Whether the charter says that this signer has no network.
    pub fn offline(&self) -> bool {
        self.state.charter.as_ref().and_then(|charter| charter.signer(&self.id)).is_some_and(|own| own.offline)
    }

    /// A signer without a network hears of its peers with each bundle instead.
    fn awaits_peers(&self) -> bool {
        self.nonce.is_some() && !self.offline()
    }

    /// Writes down what happened; only then is it so.
    pub(crate) fn remember(&mut self, at: Moment, event: Event) -> Result<u64, Refused> {
        let record = Record { at: at.micros(), event };
        let seq = self.journal.append(&record).map_err(|error| {
            Refused::new(Code::JournalUnwritable, format!("{error}; nothing was signed; free the disk and try again"))
        })?;
        self.state.apply(&record).map_err(|error| Refused::new(Code::JournalNonsense, error.to_string()))?;
        if matches!(record.event, Event::Frozen { .. }) {
            // What was prepared before somebody cried halt is looked at anew after people let it go on.
            self.pending.clear();
        }
        Ok(seq)
    }

    /// The time for a record that may not wait for a right clock, such as a freeze: never before the newest record.
    pub(crate) fn stamp(&self, now: Moment) -> Moment {
        match self.state.last {
            Some(last) if now < last || self.jumped(last, now) => last,
            _ => now,
        }
    }

    fn jumped(&self, last: Moment, now: Moment) -> bool {
        let step = self.state.charter.as_ref().map_or(0, |charter| charter.clock_step_seconds_max);
        now > last.plus_seconds(i64::try_from(step).unwrap_or(i64::MAX))
    }

    /// Refuses a clock that goes back, and closes the latch for one that jumps ahead: no window opens by moving a clock.
    pub(crate) fn check_clock(&mut self, now: Moment) -> Result<(), Refused> {
        let Some(last) = self.state.last else { return Ok(()) };
        if now < last {
            return Err(Refused::new(Code::ClockBehind, format!("the clock says {now}, the journal has {last}")));
        }
        if self.jumped(last, now) && !self.state.latches.contains_key(&Latch::Clock) {
            let reason = format!("the clock jumped from {last} to {now}");
            self.remember(last, Event::Frozen { latch: Latch::Clock.to_string(), reason })?;
        }
        Ok(())
    }

    /// Refuses while a latch that concerns this wallet, or a customer whose payment is in the transaction, is closed.
    pub(crate) fn check_latches<'a>(
        &self,
        wallet: &WalletId,
        instructions: impl Iterator<Item = &'a Instruction>,
    ) -> Result<(), Refused> {
        if self.awaits_peers() {
            let reason = "started anew; every peer must first say what it remembers of this signer";
            return Err(Refused::new(Code::AwaitingPeers, reason));
        }
        let customer = |instruction: &Instruction| match &instruction.body {
            Body::CustomerWithdrawal(payment) => Some(Latch::Customer(payment.customer.clone())),
            _ => None,
        };
        let everyone = [Latch::All, Latch::Clock, Latch::JournalBehind, Latch::Wallet(wallet.clone())].into_iter();
        let asset = self.charter()?.wallet(wallet).map(|wallet| Latch::Asset(wallet.asset));
        let mut latches = everyone.chain(asset).chain(instructions.filter_map(customer));
        let found = latches.find_map(|latch| Some((self.state.latches.get(&latch)?.0.clone(), latch)));
        match found {
            Some((reason, latch)) => Err(Refused::new(
                Code::Frozen,
                format!("the latch \"{latch}\" is closed ({reason}); a quorum can open it"),
            )),
            None => Ok(()),
        }
    }

    /// Reads every wallet of a charter and finds this signer's own keys in them: a connected signer has one in every hot wallet, one
    /// without a network in every cold wallet, and neither has any in the other's.
    fn fitting(&self, charter: &Charter) -> Result<Wallets, Refused> {
        let wrong = |reason: String| Refused::new(Code::CharterUnfit, reason);
        let known = charter.signer(&self.id).filter(|_| charter.network == self.keys.network());
        let known = known.filter(|own| own.journal_key == self.keys.journal().verifying_key().to_bytes());
        let known =
            known.ok_or_else(|| wrong("it does not name this signer, its journal key and its network".to_owned()))?;
        let before = self.state.charter.as_ref().and_then(|charter| charter.signer(&self.id));
        if before.is_some_and(|before| before.offline != known.offline) {
            return Err(wrong(
                "a signer that was connected never becomes one without a network, nor the other way".to_owned(),
            ));
        }
        crate::state::verification_moves(&self.state.life, charter).map_err(|error| wrong(error.to_string()))?;
        let (mut wallets, mut own) = (BTreeMap::new(), BTreeMap::new());
        for wallet in &charter.wallets {
            let descriptor = WalletDescriptor::parse(&wallet.descriptor, charter.network)
                .map_err(|error| wrong(format!("wallet {}: {error}", wallet.id)))?;
            if let Some(reason) = self.shared_seed(&descriptor) {
                return Err(Refused::new(Code::SeedShared, format!("wallet {}: {reason}", wallet.id)));
            }
            let cold = wallet.class == WalletClass::Cold;
            let alike = charter.signers.iter().filter(|signer| signer.offline == cold).count();
            if descriptor.keys().len() != alike {
                let kind = if cold { "without a network" } else { "that is connected" };
                return Err(wrong(format!("wallet {} does not have one key for each signer {kind}", wallet.id)));
            }
            let account = descriptor.keys().iter().find_map(|key| self.keys.account_of(key));
            match account {
                Some(account) if own.values().any(|other| *other == account) => {
                    return Err(wrong(format!("wallet {} has the same key of this signer as another", wallet.id)));
                }
                Some(account) if cold == known.offline => {
                    own.insert(wallet.id.clone(), account);
                }
                None if cold != known.offline => {}
                Some(_) => {
                    let reason = "only signers without a network hold keys of cold wallets, and no others";
                    return Err(wrong(format!("wallet {}: {reason}", wallet.id)));
                }
                None => return Err(wrong(format!("wallet {} has no key of this signer", wallet.id))),
            }
            wallets.insert(wallet.id.clone(), descriptor);
        }
        Ok((wallets, own))
    }

    /// Whether a key that is not this signer's own comes from its seed: one theft would then take two signers' keys.
    fn shared_seed(&self, descriptor: &WalletDescriptor) -> Option<String> {
        let own = self.keys.accounts();
        let ranged = own.iter().find(|key| matches!(key.public, chains::bitcoin::AccountPublic::Ranged(_)));
        let fingerprint = ranged?.fingerprint;
        let ours = |key: &chains::bitcoin::AccountKey| self.keys.account_of(key).is_some();
        let alike = |key: &chains::bitcoin::AccountKey| {
            key.fingerprint == fingerprint || own.iter().any(|account| account.public_key() == key.public_key())
        };
        let stray = descriptor.keys().iter().find(|key| !ours(key) && alike(key));
        let twice = descriptor.keys().iter().filter(|key| ours(key)).nth(1);
        let key = stray.or(twice)?;
        Some(format!("the key {key} comes from this signer's own seed {fingerprint}, under another signer"))
    }

    fn exposure(&self, now: Moment) -> Result<ReplyBody, Refused> {
        let charter = self.charter()?;
        let (mut limits, reserved) = (Vec::new(), self.pending.reserved(now));
        for (wallet, tier, window) in windows(charter) {
            let used = self.state.spending.used(charter, wallet, tier, window, &reserved, now);
            let threshold = self.wallets.get(wallet).map_or(1, WalletDescriptor::threshold);
            let all = self.wallets.get(wallet).map_or(usize::MAX, |wallet| wallet.keys().len());
            let all = u32::try_from(all).unwrap_or(u32::MAX);
            let threshold = u32::try_from(threshold).unwrap_or(1);
            // Signers without a network do not hear whether the others have signed: what each of them let out and somebody keeps back
            // ages, and whoever signs it next makes it whole. So each one's limit leaves.
            let deaf = charter.wallet(wallet).is_some_and(|wallet| wallet.class == WalletClass::Cold);
            let exposure = |owned: u32| {
                let (together, owned) = if deaf { (1, 0) } else { (threshold, owned) };
                policy::exposure_max(window.amount_max, all, together, owned).unwrap_or(types::Amount::MAX).to_string()
            };
            limits.push(Limit {
                wallet: wallet.to_string(),
                tier: tier.unwrap_or_default().to_owned(),
                seconds: window.seconds,
                amount_max: window.amount_max.to_string(),
                used: used.to_string(),
                exposure_max: exposure(0),
                exposure_owned_max: exposure(1),
            });
        }
        Ok(ReplyBody::Exposure(limits))
    }
}
