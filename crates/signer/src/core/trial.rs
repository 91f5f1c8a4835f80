//! What would come of something: the same rules upon a copy of the memory. Nothing is written, and no key can be opened.

use std::path::Path;

use chains::bitcoin::Effects;
use policy::Charter;
use signer_wire::{Approval, Instruction as WireInstruction, Statement};
use types::{Instruction, Moment, SignerId, WalletId};

use super::prepare::Openness;
use super::{Core, Examined, StartError};
use crate::journal::Journal;
use crate::keys::Keys;
use crate::refusal::{Code, Refused};
use crate::state::State;

/// A signer's memory to try things on. The core within never leaves, so that what it pretends to have written down is believed by nobody.
pub struct Trial(Core);

impl Trial {
    /// Reads the journal of a signer, which may be running.
    pub fn open(id: SignerId, keys: Keys, journal: &Path) -> Result<Trial, StartError> {
        let mut state = State::default();
        let journal = Journal::trial(journal, &mut |record| state.apply(&record).map_err(StartError::from))?;
        Core::begin(id, keys, journal, state).map(Trial)
    }

    /// The charter that would be in force.
    pub fn charter(&self) -> Result<&Charter, Refused> {
        self.0.charter()
    }

    /// Whether this signer has no network.
    pub fn offline(&self) -> bool {
        self.0.offline()
    }

    /// The other signers that are connected.
    pub fn peers(&self) -> Result<Vec<policy::SignerIdentity>, Refused> {
        self.0.peers()
    }

    /// The board.
    pub fn board(&self, now: Moment) -> signer_wire::ReplyBody {
        self.0.board(now)
    }

    /// Takes the next charter.
    pub fn adopt(&mut self, charter: &str, approvals: &[Approval], now: Moment) -> Result<(), Refused> {
        self.0.adopt_next(charter, approvals, now).map(|_| ())
    }

    /// See [`Core::hear_time`].
    pub fn hear_time(&mut self, instruction: &WireInstruction, now: Moment) -> Result<(), Refused> {
        self.0.hear_time(instruction, now)
    }

    /// Carries out an instruction that moves no coins.
    pub fn execute(&mut self, instruction: &WireInstruction, now: Moment) -> Result<(), Refused> {
        self.0.counted(instruction, now)?;
        self.check_time(now)?;
        self.0.execute(instruction, now).map(|_| ())
    }

    /// Refuses a clock that jumped and that nobody's instruction vouches for: set it right before anything freezes.
    fn check_time(&self, now: Moment) -> Result<(), Refused> {
        match self.0.state.last {
            Some(last) if self.0.jumped(last, now) => {
                let reason = format!(
                    "the clock says {now}, the journal has {last}, and no instruction that enough people approved lives at that time; \
                     set the clock, or bring a fresh bundle"
                );
                Err(Refused::new(Code::Clock, reason))
            }
            _ => Ok(()),
        }
    }

    /// What a transaction does, whoever agreed to it.
    pub fn effects(&self, wallet: &WalletId, instructions: &[&Instruction], psbt: &str) -> Result<Effects, Refused> {
        self.0.effects(wallet, instructions, psbt).map(|(_, effects)| effects)
    }

    /// Everything that is checked before a transaction is signed, but for the opening of the key itself.
    pub fn examine(&mut self, instructions: &[WireInstruction], psbt: &str, now: Moment) -> Result<Examined, Refused> {
        self.check_time(now)?;
        self.0.check_clock(now)?;
        self.0.examine(instructions, psbt, Openness::Openable, now)
    }

    /// Whether most of the connected signers have spoken, and none remembers more than this signer does.
    pub fn check_recalled(&mut self, nonce: &str, statements: &[Statement], now: Moment) -> Result<(), Refused> {
        self.0.check_recalled(nonce, statements, now)
    }
}
