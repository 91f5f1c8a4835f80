//! One visit: a bundle is read, people say yes, its keys are opened, it is signed, the keys are closed, and the answer is kept.

use std::path::{Path, PathBuf};

use signer_wire::{Answer, Bundle, CARRIED_VERSION, Head, ReplyBody, RequestBody, Signature};
use types::{Moment, WalletId, words};

use super::answers::{earlier, keep};
use super::moves_coins;
use super::reading::{Reading, read};
use crate::core::Core;
use crate::life::Actor;
use crate::refusal::{Code, Refused};
use crate::vault::Opener;

/// The visit. Nothing is written before [`Session::sign`], except that a journal that peers know to be newer freezes for good, and
/// that the wait of a tier that waits begins.
pub struct Session<'a> {
    core: &'a mut Core,
    directory: PathBuf,
    bundle: Bundle,
    reading: Reading,
    earlier: Option<Answer>,
}

impl<'a> Session<'a> {
    /// Reads a bundle at the signer in `directory`, whose core this is.
    ///
    /// # Errors
    /// What keeps it from being read at all; why it is not signed stands in the [`Reading`].
    pub fn begin(core: &'a mut Core, directory: &Path, bundle: Bundle, now: Moment) -> Result<Session<'a>, Refused> {
        let mut reading = read(directory, &bundle, now)?;
        let earlier = earlier(directory, &reading.digest).map_err(kept)?;
        if earlier.is_some() {
            // What was signed then is used up now; it is not signed again.
            reading.refused = None;
        }
        let mut session = Session { core, directory: directory.to_owned(), bundle, reading, earlier };
        match session.reading.refused.as_ref().map(|refused| (refused.code.clone(), refused.reason.clone())) {
            Some((Code::JournalBehind, reason)) => session.core.freeze_behind(&reason, now)?,
            Some((Code::Delay, _)) => session.begin_delay(now)?,
            _ => {}
        }
        Ok(session)
    }

    /// What the bundle says.
    pub const fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Whether somebody has looked at the bundle's six words: `typed` is the first of them, or as many as one likes, from the other screen.
    pub fn confirm(&self, typed: &str) -> Result<(), Refused> {
        let typed: Vec<&str> = typed.split_whitespace().collect();
        let own = words(&self.reading.digest);
        if !typed.is_empty() && own.starts_with(&typed) {
            return Ok(());
        }
        let reason =
            "these are not the words of this bundle, in their order; compare them with those on the other screen";
        Err(Refused::new(Code::Words, reason))
    }

    /// The answer that was given to this very bundle before, with today's head of the journal.
    pub fn earlier(&mut self) -> Result<Option<Answer>, Refused> {
        let Some(answer) = self.earlier.clone() else { return Ok(None) };
        Ok(Some(Answer { head: self.head()?, ..answer }))
    }

    /// The answer that says why nothing was signed.
    pub fn refusal(&mut self, refused: Refused) -> Result<Answer, Refused> {
        self.answer(Vec::new(), Some(refused))
    }

    /// Signs, after people said yes. `clock` is asked again before each step, since people take their time.
    ///
    /// # Errors
    /// Every refusal of a connected signer, and `sealing`, `k3-holder`. Keys that were opened are closed by then.
    pub fn sign(&mut self, opener: &Opener<'_>, clock: &dyn Fn() -> Moment) -> Result<Answer, Refused> {
        if let Some(answer) = self.earlier()? {
            return Ok(answer);
        }
        self.check()?;
        // A crash in here leaves what connected signers have as well: a charter, a permission that ends by itself.
        self.take_charters_and_time(clock())?;
        self.carry_out(clock())?;
        let opened = self.core.open_sealed(&self.directory, opener, clock())?;
        let signed = self.sign_with_open_keys(clock);
        let by = Actor {
            person: opener.person.to_string(),
            terminal: opener.terminal.to_owned(),
            cause: format!("bundle {}", self.reading.digest),
        };
        let closed = self.close(&opened, &by, clock());
        let signatures = signed?;
        closed?;
        self.give(signatures)
    }

    /// Whether the bundle asks for signatures, so that keys have to be opened.
    pub fn moves_coins(&self) -> bool {
        moves_coins(&self.bundle)
    }

    /// Takes charters and carries out steps of a bundle that asks for no signature, after people said yes.
    ///
    /// # Errors
    /// Every refusal of a connected signer.
    pub fn carry_out_only(&mut self, clock: &dyn Fn() -> Moment) -> Result<Answer, Refused> {
        if let Some(answer) = self.earlier()? {
            return Ok(answer);
        }
        self.check()?;
        if self.moves_coins() {
            return Err(Refused::new(Code::Payment, "this bundle asks for signatures"));
        }
        self.take_charters_and_time(clock())?;
        self.carry_out(clock())?;
        self.give(Vec::new())
    }

    fn check(&self) -> Result<(), Refused> {
        self.reading.refused.clone().map_or(Ok(()), Err)
    }

    fn give(&mut self, signatures: Vec<Signature>) -> Result<Answer, Refused> {
        let answer = self.answer(signatures, None)?;
        // A crash right here loses the answer, not the intent: the same bundle is signed again while the activation lasts, and
        // no other transaction for these instructions ever is.
        keep(&self.directory, &self.reading.digest, &answer).map_err(kept)?;
        self.earlier = Some(answer.clone());
        Ok(answer)
    }

    fn take_charters_and_time(&mut self, now: Moment) -> Result<(), Refused> {
        let held = self.core.charter()?.version;
        let next = |version: u64| move |text: &str| policy_version(text).is_some_and(|found| found > version);
        for charter in self.bundle.charters.iter().filter(|one| next(held)(&one.charter)) {
            let adopt = RequestBody::Adopt { charter: charter.charter.clone(), approvals: charter.approvals.clone() };
            ask(self.core, &adopt, now)?;
        }
        for wire in self.bundle.steps.iter().chain(&self.bundle.payments) {
            self.core.hear_time(wire, now)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, now: Moment) -> Result<(), Refused> {
        for wire in &self.bundle.steps {
            match ask(self.core, &RequestBody::Execute { instruction: wire.clone() }, now) {
                Err(refused) if refused.code == Code::Executed => {}
                other => other.map(|_| ())?,
            }
        }
        Ok(())
    }

    /// The reading said that a tier waits: the wait begins now, as it does at a connected signer that is asked.
    fn begin_delay(&mut self, now: Moment) -> Result<(), Refused> {
        self.take_charters_and_time(now)?;
        match self.core.examine_closed(&self.bundle.payments, &self.bundle.psbt, now) {
            Err(refused) if refused.code != Code::Delay => Err(refused),
            _ => Ok(()),
        }
    }

    fn sign_with_open_keys(&mut self, clock: &dyn Fn() -> Moment) -> Result<Vec<Signature>, Refused> {
        let prepare =
            RequestBody::Prepare { instructions: self.bundle.payments.clone(), psbt: self.bundle.psbt.clone() };
        let ReplyBody::Prepared { ticket, .. } = ask(self.core, &prepare, clock())? else { return Err(unexpected()) };
        let release = RequestBody::Release { ticket, statements: self.bundle.statements.clone() };
        match ask(self.core, &release, clock())? {
            ReplyBody::Signatures(signatures) => Ok(signatures),
            _ => Err(unexpected()),
        }
    }

    fn close(&mut self, wallets: &[WalletId], by: &Actor, now: Moment) -> Result<(), Refused> {
        self.core.close_keys(wallets, by, now)
    }

    fn head(&mut self) -> Result<Head, Refused> {
        match ask(self.core, &RequestBody::Hello, Moment::from_seconds(0))? {
            ReplyBody::Hello { head, .. } => Ok(head),
            _ => Err(unexpected()),
        }
    }

    fn answer(&mut self, signatures: Vec<Signature>, refused: Option<Refused>) -> Result<Answer, Refused> {
        Ok(Answer {
            version: CARRIED_VERSION,
            bundle: self.reading.digest.to_string(),
            signer: self.reading.signer.to_string(),
            head: self.head()?,
            signatures,
            refusal: refused.map(Into::into),
        })
    }
}

fn policy_version(charter: &str) -> Option<u64> {
    policy::Charter::from_bytes(charter.as_bytes()).ok().map(|charter| charter.version)
}

fn ask(core: &mut Core, question: &RequestBody, now: Moment) -> Result<ReplyBody, Refused> {
    match core.handle(question, now) {
        ReplyBody::Refused(refusal) => Err(refusal.into()),
        other => Ok(other),
    }
}

fn unexpected() -> Refused {
    Refused::new(Code::Signing, "the signer's core answered something else than it was asked")
}

fn kept(error: super::AnswerError) -> Refused {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Refused::new(Code::Answer, format!("{error}{cause}"))
}
