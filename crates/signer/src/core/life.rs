//! The lives of keys in the core: what quorums let happen to them, and the windows in which they are open.
//!
//! A signature key signs only between an entry of the journal that says that it was opened and one that says that it was closed. It is
//! opened by two powers together: a key quorum's instruction, and what opens the sealing (K3), which people hold who do not
//! administer this machine. It closes by itself when its time or its signatures are used up, and when the process ends.

use signer_wire::ReplyBody;
use types::{
    EVERY_SIGNER, Instruction, InstructionId, KeyKind, KeyState, KeyStep, Latch, Moment, SignerId, Step, WalletId,
};

use super::Core;
use crate::keys::Secret;
use crate::life::{Actor, KeyName};
use crate::record::{Event, KeyMove};
use crate::refusal::{Code, Refused};

/// A signature key that is open.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// From when on it is closed.
    until: Moment,
    /// Signatures that are left of what was allowed when people opened it.
    left: u64,
}

impl Window {
    /// What a quorum allows, as people open it.
    pub(super) const fn new((until, left): (Moment, u64)) -> Window {
        Window { until, left }
    }

    /// A quorum decides anew while the key is open: less holds at once, more when the holders open it again.
    fn narrow(&mut self, until: Moment, left: u64) {
        self.until = self.until.min(until);
        self.left = self.left.min(left);
    }
}

/// One move of a key.
pub fn key_move(key: &KeyName, from: Option<KeyState>, to: KeyState) -> KeyMove {
    KeyMove {
        kind: key.kind.to_string(),
        name: key.name.clone(),
        from: from.map(|state| state.to_string()).unwrap_or_default(),
        to: to.to_string(),
    }
}

/// The moves along several states, the first of which the key is in.
pub fn path(key: &KeyName, states: &[KeyState]) -> Vec<KeyMove> {
    states.iter().zip(states.iter().skip(1)).map(|(from, to)| key_move(key, Some(*from), *to)).collect()
}

impl Core {
    /// Writes moves of keys down, if the tables have all of them.
    pub(crate) fn move_keys(&mut self, moves: Vec<KeyMove>, by: &Actor, now: Moment) -> Result<(), Refused> {
        self.check_moves(&moves)?;
        let event = Event::Keys { moves, by: by.into() };
        self.remember(self.stamp(now), event).map(|_| ())
    }

    /// Refuses moves that the tables do not have, by name, before anything is written.
    pub(super) fn check_moves(&self, moves: &[KeyMove]) -> Result<(), Refused> {
        let mut states = std::collections::BTreeMap::new();
        for one in moves {
            let wrong = |text: String| Refused::new(Code::KeyMove, text);
            let kind: KeyKind = one.kind.parse().map_err(|_| wrong("no such kind of key".to_owned()))?;
            let to: KeyState = one.to.parse().map_err(|_| wrong("no such state of a key".to_owned()))?;
            let name = KeyName { kind, name: one.name.clone() };
            let now = states.get(&name).copied().or_else(|| self.state.life.state(&name));
            match now {
                None if to == KeyState::Generated => {}
                None => return Err(wrong(format!("{name} was never generated"))),
                Some(from) => kind.check(from, to).map_err(|error| wrong(format!("{name}: {error}")))?,
            }
            states.insert(name, to);
        }
        Ok(())
    }

    /// Carries out a step that takes effect by being handed over. Its quorum has been counted.
    pub(super) fn key_step(
        &mut self,
        instruction: &Instruction,
        step: &KeyStep,
        now: Moment,
    ) -> Result<ReplyBody, Refused> {
        self.concerns(&step.signer)?;
        let by = Actor {
            person: step.requester.to_string(),
            terminal: "by instruction".to_owned(),
            cause: instruction.id.to_string(),
        };
        let moves = match (step.step, &step.wallet) {
            (Step::Activate, Some(wallet)) => return self.authorise(instruction, step, wallet, now),
            (Step::SuspendKey, Some(wallet)) => {
                let Some(key) = self.signature_key(&step.signer, wallet)? else { return Ok(ReplyBody::Done) };
                let from = self.state.life.state(&key).unwrap_or(KeyState::Generated);
                vec![key_move(&key, Some(from), KeyState::Suspended)]
            }
            (Step::SuspendSeed, _) => vec![self.seed_move(KeyState::Suspended)?],
            (Step::ResumeSeed, _) => vec![self.seed_move(KeyState::InUse)?],
            _ => {
                let reason = format!("\"{}\" is done by people at the signer's own machine", step.step);
                return Err(Refused::new(Code::LocalStep, reason));
            }
        };
        self.check_clock(now)?;
        self.finish_step(&instruction.id, step.step, &step.reason, moves, &by, now)?;
        if let (Step::SuspendKey, Some(wallet)) = (step.step, &step.wallet)
            && let Some(account) = self.own.get(wallet)
        {
            self.keys.close(*account);
            self.windows.remove(wallet);
        }
        Ok(ReplyBody::Done)
    }

    /// Refuses what is meant for another signer.
    fn concerns(&self, signer: &SignerId) -> Result<(), Refused> {
        if *signer == self.id || signer.as_str() == EVERY_SIGNER {
            return Ok(());
        }
        Err(Refused::new(Code::Signer, format!("the instruction is for signer {signer}, this one is {}", self.id)))
    }

    /// The signature key of a wallet here; none when every signer was asked and this one has no part in the wallet.
    fn signature_key(&self, asked: &SignerId, wallet: &WalletId) -> Result<Option<KeyName>, Refused> {
        match self.own.get(wallet) {
            Some(account) => Ok(Some(KeyName::signature(*account))),
            None if asked.as_str() == EVERY_SIGNER => Ok(None),
            None => Err(Refused::new(Code::Wallet, format!("this signer has no key of a wallet \"{wallet}\""))),
        }
    }

    fn seed_move(&self, to: KeyState) -> Result<KeyMove, Refused> {
        let key = self.seed_name().ok_or_else(|| Refused::new(Code::Seed, "this signer has no seed"))?;
        Ok(key_move(&key, self.state.life.state(&key), to))
    }

    /// The seed's name on the board.
    pub fn seed_name(&self) -> Option<KeyName> {
        self.state.life.of_kind(KeyKind::Seed).last().map(|(name, _)| name.clone())
    }

    /// Ceremonies that were held, oldest first.
    pub fn ceremonies(&self) -> &[crate::life::Ceremony] {
        &self.state.life.ceremonies
    }

    /// Names of every key of one kind.
    pub fn keys_of(&self, kind: KeyKind) -> impl Iterator<Item = &KeyName> {
        self.state.life.of_kind(kind).map(|(name, _)| name)
    }

    /// Refuses while the seed is suspended.
    pub fn check_seed(&self) -> Result<(), Refused> {
        match self.seed_name().and_then(|name| self.state.life.state(&name)) {
            Some(KeyState::InUse) => Ok(()),
            Some(state) => {
                Err(Refused::new(Code::Seed, format!("the seed is {state}; a key quorum can take it into use")))
            }
            None => Err(Refused::new(Code::Seed, "this signer has no seed")),
        }
    }

    /// Lets a wallet's key be opened until the instruction's window ends.
    fn authorise(
        &mut self,
        instruction: &Instruction,
        step: &KeyStep,
        wallet: &WalletId,
        now: Moment,
    ) -> Result<ReplyBody, Refused> {
        let Some(key) = self.signature_key(&step.signer, wallet)? else { return Ok(ReplyBody::Done) };
        self.check_clock(now)?;
        self.check_latches(wallet, std::iter::empty())?;
        if self.state.life.authorised.get(wallet).is_some_and(|one| instruction.created < one.created) {
            let reason = "a later activation of this key is in force; this one was kept back";
            return Err(Refused::new(Code::ActivationOlder, reason));
        }
        let account = self.own.get(wallet).copied().unwrap_or(u32::MAX);
        let caps = self.charter()?.activation;
        if step.seconds > caps.seconds_max || step.signatures > caps.signatures_max {
            let reason = format!(
                "an activation has at most {} seconds and {} signatures",
                caps.seconds_max, caps.signatures_max
            );
            return Err(Refused::new(Code::ActivationCaps, reason));
        }
        match self.state.life.state(&key) {
            Some(KeyState::Inactive | KeyState::InUse) => {}
            Some(state) => {
                let error = KeyKind::Signature.check(state, KeyState::Active).err();
                let reason = error.map_or_else(|| format!("the key is {state}"), |error| error.to_string());
                return Err(Refused::new(Code::KeyMove, reason));
            }
            None => return Err(Refused::new(Code::KeyMove, "the key was never generated")),
        }
        let until = now.plus_seconds(i64::try_from(step.seconds).unwrap_or(i64::MAX));
        let event = Event::Authorised {
            wallet: wallet.to_string(),
            until: until.micros(),
            signatures: step.signatures,
            account,
            created: instruction.created.micros(),
            instruction: instruction.id.to_string(),
        };
        self.remember(self.stamp(now), event)?;
        if let Some(window) = self.windows.get_mut(wallet) {
            window.narrow(until, step.signatures);
        }
        Ok(ReplyBody::Done)
    }

    /// What a quorum allows for a wallet's key at this moment: until when, and how many signatures. It holds for the account of which it
    /// spoke, within the bounds of the charter that is in force now, and never for a key that is suspended.
    pub(super) fn allowed(&self, wallet: &WalletId, now: Moment) -> Option<(Moment, u64)> {
        let one = self.state.life.authorised.get(wallet)?;
        let account = self.own.get(wallet).filter(|account| **account == one.account)?;
        let state = self.state.life.state(&KeyName::signature(*account))?;
        let caps = self.state.charter.as_ref()?.activation;
        let longest = one.at.plus_seconds(i64::try_from(caps.seconds_max).unwrap_or(i64::MAX));
        let (until, left) = (one.until.min(longest), one.left.min(caps.signatures_max));
        let usable = matches!(state, KeyState::Inactive | KeyState::InUse) && until > now && left > 0;
        usable.then_some((until, left))
    }

    /// Wallets whose keys a quorum lets be opened at this moment.
    pub fn openable(&self, now: Moment) -> Vec<WalletId> {
        let open = |wallet: &&WalletId| self.allowed(wallet, now).is_some();
        self.own.keys().filter(open).cloned().collect()
    }

    /// Wallets whose keys are open.
    pub fn open_wallets(&self) -> Vec<WalletId> {
        self.windows.keys().cloned().collect()
    }

    /// Opens every key that a quorum lets be opened. `unseal` gives an account's key, or, for none, that of canaries; `by` holds what
    /// opens the sealing. Either all are open and written down afterwards, or none is.
    ///
    /// # Errors
    /// `not-authorised` when no quorum allows anything now; `sealing` when what was unsealed is not that key.
    pub fn open_keys(
        &mut self,
        unseal: &mut dyn FnMut(Option<u32>) -> Result<Secret, Refused>,
        by: &Actor,
        now: Moment,
    ) -> Result<Vec<WalletId>, Refused> {
        self.check_clock(now)?;
        let (in_device, wallets): (Vec<_>, Vec<_>) = self
            .openable(now)
            .into_iter()
            .partition(|wallet| self.own.get(wallet).is_some_and(|account| self.keys.in_device(*account).is_some()));
        if let (Some(wallet), true) = (in_device.first(), wallets.is_empty()) {
            let reason = format!("the key of wallet {wallet} is inside a device: open it with the device's PIN");
            return Err(Refused::new(Code::Device, reason));
        }
        if wallets.is_empty() {
            let reason = "no key quorum lets a key of this signer be opened now; propose an activation";
            return Err(Refused::new(Code::NotAuthorised, reason));
        }
        self.check_device(None)?;
        let mut moves = Vec::new();
        for wallet in &wallets {
            let Some(account) = self.own.get(wallet).copied() else { continue };
            let key = KeyName::signature(account);
            let before = self.keys.account(account).is_some();
            let opened = unseal(Some(account)).and_then(|secret| {
                self.keys.open(account, secret).map_err(|error| Refused::new(Code::Sealing, error.to_string()))
            });
            if let Err(refused) = opened {
                self.close_unwritten(&wallets);
                return Err(refused);
            }
            if !before {
                // Opened and proven by deriving its public key, which is its first use.
                moves.extend(path(&key, &[KeyState::Inactive, KeyState::Active, KeyState::InUse]));
            }
        }
        let canary = unseal(None);
        let written = canary.and_then(|secret| {
            self.keys.open_canary(secret);
            // With no move it says who lengthened a window.
            self.move_keys(moves, by, now)
        });
        if let Err(refused) = written {
            self.close_unwritten(&wallets);
            return Err(refused);
        }
        for wallet in &wallets {
            if let Some(allowed) = self.allowed(wallet, now) {
                self.windows.insert(wallet.clone(), Window::new(allowed));
            }
        }
        Ok(wallets)
    }

    /// Wipes keys whose opening was not written down.
    fn close_unwritten(&mut self, wallets: &[WalletId]) {
        for wallet in wallets.iter().filter(|wallet| !self.windows.contains_key(*wallet)) {
            if let Some(account) = self.own.get(wallet) {
                self.keys.close(*account);
            }
        }
    }

    /// Closes the keys of these wallets: wiped first, then written down. A journal that cannot be written keeps no key open.
    pub fn close_keys(&mut self, wallets: &[WalletId], by: &Actor, now: Moment) -> Result<(), Refused> {
        let mut moves = Vec::new();
        for wallet in wallets {
            let Some(account) = self.own.get(wallet).copied() else { continue };
            self.keys.close(account);
            self.windows.remove(wallet);
            let key = KeyName::signature(account);
            if self.state.life.state(&key) == Some(KeyState::InUse) {
                moves.push(key_move(&key, Some(KeyState::InUse), KeyState::Inactive));
            }
        }
        if moves.is_empty() { Ok(()) } else { self.move_keys(moves, by, now) }
    }

    /// Until when a key is open, and for how many signatures: what was allowed when people opened it, or less when a quorum or a charter has
    /// decided anew meanwhile.
    pub(super) fn open_until(&self, wallet: &WalletId, now: Moment) -> Option<(Moment, u64)> {
        let (until, left) = self.allowed(wallet, now)?;
        let window = self.windows.get(wallet)?;
        let (until, left) = (until.min(window.until), left.min(window.left));
        (until > now && left > 0).then_some((until, left))
    }

    /// Counts signatures that were handed out against the window that people opened.
    pub(super) fn count_signatures(&mut self, wallet: &WalletId, signatures: usize) {
        if let Some(window) = self.windows.get_mut(wallet) {
            window.left = window.left.saturating_sub(u64::try_from(signatures).unwrap_or(u64::MAX));
        }
    }

    /// Closes every key whose window has ended, and finishes what an unwritable journal left open on paper.
    pub fn tick(&mut self, now: Moment) -> Result<(), Refused> {
        let ended = |wallet: &&WalletId| {
            let on_paper =
                self.own.get(*wallet).and_then(|account| self.state.life.state(&KeyName::signature(*account)));
            self.open_until(wallet, now).is_none()
                && (self.windows.contains_key(*wallet) || on_paper == Some(KeyState::InUse))
        };
        let ended: Vec<WalletId> = self.own.keys().filter(ended).cloned().collect();
        if ended.is_empty() {
            return Ok(());
        }
        let by = Actor { cause: "its window ended".to_owned(), ..Actor::default() };
        self.close_keys(&ended, &by, now)
    }

    /// The wall clock left the time that really passed: the latch closes, and every key with it.
    pub fn clock_drifted(&mut self, seconds: i64, now: Moment) -> Result<(), Refused> {
        let reason = format!("the clock moved by {seconds} seconds against the time that passed since the start");
        self.close_and_freeze(&Latch::Clock, &reason, now)
    }

    /// Closes every key and then a latch, once. Keys go first: a journal that cannot be written keeps none open.
    pub(super) fn close_and_freeze(&mut self, latch: &Latch, reason: &str, now: Moment) -> Result<(), Refused> {
        let closed =
            self.close_keys(&self.open_wallets(), &Actor { cause: reason.to_owned(), ..Actor::default() }, now);
        if !self.state.latches.contains_key(latch) {
            let event = Event::Frozen { latch: latch.to_string(), reason: reason.to_owned() };
            self.remember(self.stamp(now), event)?;
        }
        closed
    }

    /// After a start: what a process had open that is gone is closed.
    pub(super) fn close_after_start(&mut self) -> Result<(), Refused> {
        let open: Vec<KeyName> = self
            .state
            .life
            .of_kind(KeyKind::Signature)
            .filter(|(_, entry)| entry.state == KeyState::InUse)
            .map(|(name, _)| name.clone())
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let moves = open.iter().map(|key| key_move(key, Some(KeyState::InUse), KeyState::Inactive)).collect();
        let by = Actor { cause: "the process ended".to_owned(), ..Actor::default() };
        let last = self.state.last.unwrap_or(Moment::from_seconds(0));
        self.move_keys(moves, &by, last)
    }

    /// Refuses while a wallet's key is not open, or, `may_open`, could not be opened now.
    pub(super) fn check_key(&mut self, wallet: &WalletId, may_open: bool, now: Moment) -> Result<(), Refused> {
        self.tick(now)?;
        let Some(account) = self.own.get(wallet).copied() else {
            return Err(Refused::new(Code::Wallet, format!("this signer has no key of a wallet \"{wallet}\"")));
        };
        if self.state.life.state(&KeyName::signature(account)) == Some(KeyState::Suspended) {
            return Err(Refused::new(
                Code::KeySuspended,
                format!("the key of wallet {wallet} is suspended here for ever"),
            ));
        }
        if self.windows.contains_key(wallet) || (may_open && self.openable(now).contains(wallet)) {
            return Ok(());
        }
        let reason = if self.openable(now).contains(wallet) {
            format!("the key of wallet {wallet} may be opened here: whoever holds its sealing opens it")
        } else {
            format!("the key of wallet {wallet} is closed here; a key quorum lets it be opened")
        };
        Err(Refused::new(Code::KeyInactive, reason))
    }

    /// Refuses more signatures than the quorum's activation has left; `may_open` counts what a key could be opened for now.
    pub(super) fn check_left(
        &self,
        wallet: &WalletId,
        inputs: usize,
        may_open: bool,
        now: Moment,
    ) -> Result<(), Refused> {
        let allowed = if may_open { self.allowed(wallet, now) } else { self.open_until(wallet, now) };
        let left = allowed.map_or(0, |(_, left)| left);
        if u64::try_from(inputs).unwrap_or(u64::MAX) <= left {
            return Ok(());
        }
        let reason = format!("{inputs} signatures are asked for, the activation of wallet {wallet} has {left} left");
        Err(Refused::new(Code::SignaturesUsedUp, reason))
    }

    /// Reads and counts a step that people hold at this machine; what it does is up to the caller, who then says what came of it.
    pub fn begin_step(
        &mut self,
        wire: &signer_wire::Instruction,
        expected: Step,
        now: Moment,
    ) -> Result<(InstructionId, KeyStep), Refused> {
        let instruction = self.counted(wire, now)?;
        let types::Body::KeyStep(step) = &instruction.body else {
            return Err(Refused::new(Code::Kind, "the instruction is no step of a key's life"));
        };
        self.concerns(&step.signer)?;
        if step.step != expected {
            return Err(Refused::new(Code::Step, format!("the instruction is to {}, not to {expected}", step.step)));
        }
        self.check_clock(now)?;
        Ok((instruction.id.clone(), step.clone()))
    }

    /// Writes down that a step was done, with what came of it.
    pub fn finish_step(
        &mut self,
        instruction: &InstructionId,
        step: Step,
        detail: &str,
        moves: Vec<KeyMove>,
        by: &Actor,
        now: Moment,
    ) -> Result<(), Refused> {
        self.ceremony(step.as_str(), detail, moves, by, &instruction.to_string(), now)
    }

    /// Writes a ceremony down. `instruction` is empty for one that needs no quorum, such as a movement of media.
    pub fn ceremony(
        &mut self,
        step: &str,
        detail: &str,
        moves: Vec<KeyMove>,
        by: &Actor,
        instruction: &str,
        now: Moment,
    ) -> Result<(), Refused> {
        self.check_moves(&moves)?;
        let (step, detail, instruction) = (step.to_owned(), detail.to_owned(), instruction.to_owned());
        let event = Event::Ceremony { step, detail, moves, by: by.into(), instruction };
        self.remember(self.stamp(now), event).map(|_| ())
    }
}
