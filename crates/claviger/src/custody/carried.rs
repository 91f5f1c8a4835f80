//! What signers without a network are asked, by way of people who carry it: bundles out, answers in.
//!
//! A bundle is noted before it is handed out: from then on only signatures, or another try, end its transaction. An answer counts
//! once its signatures verify, and is used once most connected signers remember the head that came with it.

use std::time::Instant;

use bitcoin::psbt::Psbt;
use bitcoin::secp256k1::Secp256k1;
use chains::bitcoin::{Effects, PartialSignature, combine, inspect};
use policy::{Charter, WalletClass};
use signer_client::CallError;
use signer_wire::{
    Answer, Approval as WireApproval, Bundle, CARRIED_VERSION, Evidence, Head, Instruction as WireInstruction,
    NextCharter, ReplyBody, RequestBody, Statement as Remembered,
};
use store::{CarriedRow, Event, Move, PaymentRow, Statement, TransactionRow, TransactionState};
use types::{Body, Instruction, Moment, RefusalCode, SignerId, Step, WalletId, words};

use super::{Custody, StepError, blocking, now};
use crate::problem::Problem;

/// The alarm that stands while people have to carry something.
const ALARM: &str = "by-hand";
/// Under this name it is noted when signers are told again of heads that they do not remember yet.
const UNTOLD: &str = "untold";
/// The most proposals that are looked through for steps to carry.
const PROPOSALS_MAX: u32 = 500;

/// A bundle, and what its carrier should know.
#[derive(Clone, Debug)]
pub struct Carriage {
    /// The bundle.
    pub bundle: Bundle,
    /// What is likely to be missing, in words.
    pub notes: Vec<String>,
}

/// A transaction that waits for signers without a network.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The try.
    pub row: TransactionRow,
    /// What it pays for.
    pub payments: Vec<PaymentRow>,
    /// How many signers have to sign.
    pub needed: usize,
    /// Each signer, with what was carried to it.
    pub signers: Vec<(SignerId, Option<CarriedRow>)>,
}

impl Waiting {
    /// How many have signed.
    pub fn signed(&self) -> usize {
        self.signers.iter().filter(|(_, row)| row.as_ref().is_some_and(|row| !row.answer.is_empty())).count()
    }
}

fn storage(error: impl std::fmt::Display) -> Problem {
    Problem::new(500, "storage", error.to_string())
}

/// What others are told, and pages that show what is carried.
fn event(kind: &str, txid: &str, signer: &SignerId) -> Event {
    let body = serde_json::json!({"signer": signer.to_string()}).to_string();
    Event { kind: kind.to_owned(), subject: txid.to_owned(), body }
}

/// The signatures of an answer, in the form in which they are put together.
fn parts(answer: &Answer) -> Option<Vec<PartialSignature>> {
    let part = |signature: &signer_wire::Signature| {
        Some(PartialSignature {
            input: signature.input,
            public_key: hex::decode(&signature.public_key).ok()?,
            signature: hex::decode(&signature.signature).ok()?,
        })
    };
    answer.signatures.iter().map(part).collect()
}

impl Custody {
    /// Whether a wallet's keys are with signers without a network.
    pub(super) fn is_cold(&self, wallet: &WalletId) -> bool {
        self.charter.wallet(wallet).is_some_and(|wallet| wallet.class == WalletClass::Cold)
    }

    /// Signers without a network.
    pub fn offline_signers(&self) -> impl Iterator<Item = &SignerId> {
        self.charter.signers.iter().filter(|signer| signer.offline).map(|signer| &signer.id)
    }

    fn connected_majority(&self) -> usize {
        self.charter.signers.iter().filter(|signer| !signer.offline).count() / 2 + 1
    }

    /// Transactions that wait for people to carry something, oldest first.
    pub async fn waiting_for_hands(&self) -> Result<Vec<Waiting>, StepError> {
        let mut waiting = Vec::new();
        for row in self.store.transactions_in(TransactionState::Generated).await? {
            if self.is_cold(&row.wallet) {
                waiting.push(self.waiting(row).await?);
            }
        }
        Ok(waiting)
    }

    async fn waiting(&self, row: TransactionRow) -> Result<Waiting, StepError> {
        let carried = self.store.carried(&row.txid).await?;
        let of = |signer: &SignerId| carried.iter().find(|row| row.signer == *signer).cloned();
        Ok(Waiting {
            payments: self.store.payments_of_group(&row.group).await?,
            needed: self.wallet(&row.wallet)?.threshold(),
            signers: self.offline_signers().map(|signer| (signer.clone(), of(signer))).collect(),
            row,
        })
    }

    /// The try with this identifier, if it is one of those that people carry.
    pub async fn carried_transaction(&self, txid: &str) -> Result<Waiting, Problem> {
        let row = self.store.transaction(txid).await?.ok_or_else(|| Problem::not_found("transaction"))?;
        if !self.is_cold(&row.wallet) {
            return Err(Problem::new(409, "connected", "this transaction is signed by signers that are connected"));
        }
        self.waiting(row).await.map_err(storage)
    }

    /// Makes what one signer needs to sign one transaction. Can be repeated: what is there then is newer.
    pub async fn bundle(&self, txid: &str, signer: &str, actor: &str, now: Moment) -> Result<Carriage, Problem> {
        let Waiting { row, payments, .. } = self.carried_transaction(txid).await?;
        let signer = self.offline_signer(signer)?;
        if row.state != TransactionState::Generated {
            let detail = format!("this transaction is {} and needs no further signature", row.state.as_str());
            return Err(Problem::new(409, "not-waiting", detail));
        }
        if let Some(why) = self.unsignable(&payments, now) {
            return Err(Problem::new(409, "expired", why));
        }
        let mut wires = Vec::new();
        let mut digests = Vec::new();
        for payment in &payments {
            let (instruction, evidence) = self.with_evidence(payment).await.map_err(storage)?;
            digests.push(instruction.digest());
            wires.push(crate::wire::instruction(&instruction, &evidence));
        }
        let mut notes = Vec::new();
        let bundle = Bundle {
            version: CARRIED_VERSION,
            signer: signer.to_string(),
            charters: self.charters_for(&signer, &mut notes).await?,
            steps: self.steps_for(&signer, &row.wallet, &mut notes, now).await?,
            payments: wires,
            psbt: hex::encode(&row.psbt),
            statements: self.statements_about(&signer, &signer_wire::recall_nonce(&row.txid, digests.iter()))?,
        };
        let digest = bundle.digest();
        let note = CarriedRow {
            txid: row.txid.clone(),
            signer: signer.clone(),
            bundle: digest,
            charter: self.charter.version,
            answer: String::new(),
            refusal: String::new(),
            told: false,
            asked: now,
            updated: now,
        };
        let asked = TransactionRow { asked: true, updated: now, ..row.clone() };
        // Before it is handed out: a crash right here leaves a bundle that nobody has, which only means waiting for it.
        let mut step = Move::new(now).run(note.ask()).run(asked.update(TransactionState::Generated)).audit(
            actor,
            "bundle.made",
            &row.txid,
            format!("for {signer}: {digest} ({})", words(&digest).join(" ")),
        );
        step.events.push(event("transaction.bundle", &row.txid, &signer));
        self.store.commit(step).await?;
        self.patience().remove(&row.txid);
        self.wake();
        Ok(Carriage { bundle, notes })
    }

    /// What one signer has to be told while nothing is to be signed: charters, and what people agreed on about its keys.
    pub async fn steps_bundle(&self, signer: &str, actor: &str, now: Moment) -> Result<Carriage, Problem> {
        let signer = self.offline_signer(signer)?;
        let (mut notes, cold) = (Vec::new(), |wallet: &&policy::Wallet| wallet.class == WalletClass::Cold);
        let wallet = self.charter.wallets.iter().find(cold).map(|wallet| wallet.id.clone());
        let wallet = wallet.ok_or_else(|| Problem::not_found("cold wallet"))?;
        let bundle = Bundle {
            version: CARRIED_VERSION,
            signer: signer.to_string(),
            charters: self.charters_for(&signer, &mut notes).await?,
            steps: self.steps_for(&signer, &wallet, &mut Vec::new(), now).await?,
            payments: Vec::new(),
            psbt: String::new(),
            statements: Vec::new(),
        };
        if bundle.steps.is_empty() && bundle.charters.is_empty() {
            return Err(Problem::new(409, "nothing", format!("there is nothing that {signer} has to be told")));
        }
        let digest = bundle.digest();
        let detail = format!("{digest} ({})", words(&digest).join(" "));
        self.store.commit(Move::new(now).audit(actor, "bundle.made", signer.as_str(), detail)).await?;
        Ok(Carriage { bundle, notes })
    }

    /// Takes the answer to a bundle without a payment in: connected signers are to remember its head.
    pub async fn take_steps_answer(&self, signer: &str, bytes: &[u8], actor: &str, now: Moment) -> Result<(), Problem> {
        let answer = Answer::from_bytes(bytes).map_err(|error| Problem::invalid("answer", error.to_string()))?;
        let signer = self.offline_signer(signer)?;
        if answer.signer != signer.as_str() || answer.head.signer != answer.signer {
            return Err(Problem::invalid("answer", format!("the answer is not one of {signer}")));
        }
        if !self.tell_head(&answer.head)? {
            let detail = "most connected signers have to remember the answer's head; start them and bring it again";
            return Err(Problem::unavailable("signers", detail));
        }
        let said = answer.refusal.as_ref().map_or_else(|| "done".to_owned(), |refusal| refusal.reason.clone());
        let digest = answer.digest();
        let detail = format!("{digest} ({}), to bundle {}: {said}", words(&digest).join(" "), answer.bundle);
        self.store.commit(Move::new(now).audit(actor, "answer.taken", signer.as_str(), detail)).await?;
        Ok(())
    }

    fn offline_signer(&self, name: &str) -> Result<SignerId, Problem> {
        let known = self.offline_signers().find(|known| known.as_str() == name).cloned();
        known.ok_or_else(|| Problem::not_found("signer without a network"))
    }

    /// Why nobody signs these payments any more; none while they can be signed.
    fn unsignable(&self, payments: &[PaymentRow], now: Moment) -> Option<String> {
        let old = |payment: &PaymentRow| {
            Instruction::from_canonical(payment.canonical.as_bytes()).map_or(0, |one| one.charter)
                != self.charter.version
        };
        if let Some(payment) = payments.iter().find(|payment| payment.expires <= now) {
            return Some(format!("{} has expired", payment.id));
        }
        let payment = payments.iter().find(|payment| old(payment))?;
        Some(format!("{} was made under an older charter", payment.id))
    }

    /// Charters that the signer has perhaps not taken, oldest first.
    async fn charters_for(&self, signer: &SignerId, notes: &mut Vec<String>) -> Result<Vec<NextCharter>, Problem> {
        let taken = self.store.charter_taken(signer).await?;
        let mut chain = Vec::new();
        let mut next = (self.charter.version > taken).then(|| self.charter.digest());
        while let Some(digest) = next {
            let Some(row) = self.store.charter_row(digest).await? else {
                notes.push(format!(
                    "charter {digest} is not kept here with its approvals; a signer that lacks it takes it by \
                     `claviger-signer adopt` only when it has none"
                ));
                break;
            };
            let approvals: Vec<WireApproval> = serde_json::from_str(&row.approvals).map_err(storage)?;
            let before = Charter::from_bytes(row.text.as_bytes()).map_err(storage)?.previous;
            next = before.filter(|_| row.version > taken.saturating_add(1));
            chain.push(NextCharter { charter: row.text, approvals });
        }
        chain.reverse();
        Ok(chain)
    }

    /// What people have agreed on that this signer has to be told, oldest first.
    async fn steps_for(
        &self,
        signer: &SignerId,
        wallet: &WalletId,
        notes: &mut Vec<String>,
        now: Moment,
    ) -> Result<Vec<WireInstruction>, Problem> {
        let mut steps = Vec::new();
        let mut activated = false;
        for row in self.store.proposals(PROPOSALS_MAX).await?.into_iter().rev().filter(|row| row.state == "done") {
            let Ok(instruction) = Instruction::from_canonical(row.text.as_bytes()) else { continue };
            let live = instruction.charter == self.charter.version && now < instruction.expires;
            if !live || !self.concerns(&instruction.body, signer) {
                continue;
            }
            let opens = |body: &Body| matches!(body, Body::KeyStep(step) if step.step == Step::Activate && step.wallet.as_ref() == Some(wallet));
            activated |= opens(&instruction.body);
            let approvals = self.store.approvals(&row.id).await?.into_iter();
            let approvals =
                approvals.map(|row| WireApproval { operator: row.operator, signature: row.signature }).collect();
            steps.push(WireInstruction {
                canonical: row.text,
                evidence: Evidence { customer_request: None, approvals },
            });
        }
        if !activated {
            notes.push(format!(
                "nobody has agreed of late that the keys of wallet {wallet} may be opened; unless an earlier activation \
                 still holds at {signer}, propose one and make the bundle again"
            ));
        }
        Ok(steps)
    }

    /// Whether an instruction that moves no coins has to be carried to this signer without a network.
    fn concerns(&self, body: &Body, signer: &SignerId) -> bool {
        match body {
            Body::KeyStep(step) => {
                let here = step.signer == *signer || step.signer.as_str() == types::EVERY_SIGNER;
                here && step.step.remote() && step.wallet.as_ref().is_none_or(|wallet| self.is_cold(wallet))
            }
            Body::Unfreeze(freeze) => freeze.signer == *signer,
            _ => false,
        }
    }

    /// What connected signers remember of this one's journal, over the instruction that is to be signed.
    fn statements_about(&self, signer: &SignerId, nonce: &str) -> Result<Vec<Remembered>, Problem> {
        let recall = RequestBody::Recall { signer: signer.to_string(), nonce: nonce.to_owned() };
        let answers: Vec<_> =
            blocking(|| self.signers().iter_mut().map(|client| client.call(recall.clone())).collect());
        let statements: Vec<_> = answers
            .into_iter()
            .filter_map(|answer| match answer {
                Ok(ReplyBody::Statement(statement)) => Some(statement),
                _ => None,
            })
            .collect();
        let needed = self.connected_majority();
        if statements.len() < needed {
            let detail = format!(
                "{} of {needed} connected signers say what they remember of {signer}; start them and ask again",
                statements.len()
            );
            return Err(Problem::unavailable("signers", detail));
        }
        Ok(statements)
    }

    /// Takes an answer in, whoever brings it: what counts are its signatures. The same answer again changes nothing.
    pub async fn take_answer(&self, txid: &str, bytes: &[u8], actor: &str, now: Moment) -> Result<Waiting, Problem> {
        let answer = Answer::from_bytes(bytes).map_err(|error| Problem::invalid("answer", error.to_string()))?;
        let waiting = self.carried_transaction(txid).await?;
        let found = waiting.signers.iter().find(|(signer, _)| signer.as_str() == answer.signer);
        let asked = found.and_then(|(_, row)| row.clone());
        let asked = asked.ok_or_else(|| {
            let detail = format!("no bundle of this transaction was made for \"{}\"", answer.signer);
            Problem::new(409, "not-asked", detail)
        })?;
        if answer.head.signer != answer.signer {
            return Err(Problem::invalid("answer", "the answer's head is of another signer"));
        }
        if answer.refusal.is_none() {
            self.verify_answer(&waiting, &answer)?;
        }
        let told = self.tell_head(&answer.head)?;
        let text = String::from_utf8_lossy(bytes).into_owned();
        let row = match &answer.refusal {
            // Signatures that were given stay, whatever is said later.
            Some(_) if !asked.answer.is_empty() => asked,
            Some(refusal) => {
                CarriedRow { refusal: format!("{} ({})", refusal.reason, refusal.code), updated: now, ..asked }
            }
            None => CarriedRow { answer: text, refusal: String::new(), told, updated: now, ..asked },
        };
        let digest = answer.digest();
        let said = if answer.refusal.is_some() { row.refusal.clone() } else { "signed".to_owned() };
        let mut step = Move::new(now).run(row.answer()).audit(
            actor,
            "answer.taken",
            txid,
            format!(
                "of {}: {digest} ({}), to bundle {}: {said}",
                answer.signer,
                words(&digest).join(" "),
                answer.bundle
            ),
        );
        step.events.push(event("transaction.answer", txid, &row.signer));
        self.store.commit(step).await?;
        self.patience().remove(txid);
        self.wake();
        self.carried_transaction(txid).await
    }

    /// Refuses an answer unless it holds one signature on every input, all of one key of the wallet.
    fn verify_answer(&self, waiting: &Waiting, answer: &Answer) -> Result<(), Problem> {
        let wrong = |text: String| Problem::invalid("answer-signatures", text);
        let (mut psbt, effects) = self.inspected(&waiting.row, &waiting.payments).map_err(storage)?;
        let parts = parts(answer).ok_or_else(|| wrong("a signature has no form".to_owned()))?;
        combine(&mut psbt, &effects, &parts, &Secp256k1::new()).map_err(|error| wrong(error.to_string()))?;
        let complete = psbt.inputs.iter().all(|input| input.partial_sigs.len() == 1);
        if !complete || parts.len() != psbt.inputs.len() {
            return Err(wrong("there is not exactly one signature for each input".to_owned()));
        }
        let fingerprint = |(place, input): (usize, &bitcoin::psbt::Input)| {
            let (key, _) = input.partial_sigs.first_key_value()?;
            let derived = &effects.inputs.get(place)?.derived;
            derived.keys.get(&key.inner).map(|(fingerprint, _)| *fingerprint)
        };
        let mut keys: Vec<_> = psbt.inputs.iter().enumerate().map(fingerprint).collect();
        keys.dedup();
        if keys.len() != 1 {
            return Err(wrong("the signatures are of several keys".to_owned()));
        }
        Ok(())
    }

    /// A try's transaction, and what it does.
    pub(super) fn inspected(
        &self,
        row: &TransactionRow,
        payments: &[PaymentRow],
    ) -> Result<(Psbt, Effects), StepError> {
        let corrupt = |error: String| StepError::Corrupt(format!("transaction {}: {error}", row.txid));
        let psbt = Psbt::deserialize(&row.psbt).map_err(|error| corrupt(error.to_string()))?;
        let outputs = self.outputs(payments)?;
        let effects = inspect(&psbt, self.wallet(&row.wallet)?, &outputs, &self.caps());
        Ok((psbt, effects.map_err(|error| corrupt(error.to_string()))?))
    }

    /// Has connected signers remember an answer's head. Returns whether most of them do.
    fn tell_head(&self, head: &Head) -> Result<bool, Problem> {
        let witness = RequestBody::Witness { head: head.clone() };
        let answers: Vec<_> =
            blocking(|| self.signers().iter_mut().map(|client| client.call(witness.clone())).collect());
        let mut told = 0;
        for answer in answers {
            match answer {
                Ok(ReplyBody::Statement(_)) => told += 1,
                Err(CallError::Refused(refusal)) => match refusal.code {
                    // It remembers a newer one.
                    RefusalCode::PeerBehind => told += 1,
                    RefusalCode::HeadSignature | RefusalCode::HeadForm => {
                        return Err(Problem::invalid("answer-head", refusal.reason));
                    }
                    RefusalCode::PeerForked => return Err(Problem::new(409, "peer-forked", refusal.reason)),
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(told >= self.connected_majority())
    }

    /// Tells connected signers of heads that they could not be told of when the answers came.
    pub(super) async fn tell_heads(&self) -> Result<(), StepError> {
        if self.patience().get(UNTOLD).is_some_and(|(until, _)| Instant::now() < *until) {
            return Ok(());
        }
        let mut all = true;
        for row in self.store.carried_untold().await? {
            let corrupt =
                |error: signer_wire::CarriedError| StepError::Corrupt(format!("the answer of {}: {error}", row.signer));
            let answer = Answer::from_bytes(row.answer.as_bytes()).map_err(corrupt)?;
            if matches!(self.tell_head(&answer.head), Ok(true)) {
                let next = CarriedRow { told: true, updated: now(), ..row };
                self.patience().remove(&next.txid);
                self.store.commit(Move::new(next.updated).run(next.answer())).await?;
            } else {
                all = false;
            }
        }
        if all {
            self.patience().remove(UNTOLD);
        } else {
            self.wait_for_signers(UNTOLD);
        }
        Ok(())
    }

    /// Finishes a transaction once enough answers are here, and says what it waits for until then.
    pub(super) async fn sign_by_hand(&self, row: TransactionRow) -> Result<(), StepError> {
        let waiting = self.waiting(row).await?;
        let told: Vec<Answer> = waiting
            .signers
            .iter()
            .filter_map(|(_, carried)| carried.as_ref().filter(|row| row.told && !row.answer.is_empty()))
            .filter_map(|carried| Answer::from_bytes(carried.answer.as_bytes()).ok())
            .collect();
        if told.len() >= waiting.needed {
            let names: Vec<&str> = told.iter().map(|answer| answer.signer.as_str()).collect();
            let signatures: Vec<_> = told.iter().flat_map(|answer| answer.signatures.clone()).collect();
            return self.signed(waiting.row, &waiting.payments, &names, &signatures, ALARM).await;
        }
        let asked = waiting.signers.iter().filter(|(_, row)| row.is_some()).count();
        if let Some(why) = self.unsignable(&waiting.payments, now())
            && asked < waiting.needed
        {
            // Too few signers were ever asked, and none signs any more: it can never be whole.
            self.clear(ALARM, &waiting.row.txid).await?;
            let words = format!("{why}, and {asked} of {} signers without a network were asked before", waiting.needed);
            return self.dissolve(waiting.row, waiting.payments, &words).await;
        }
        self.wait_for_signers(&waiting.row.txid);
        let missing = waiting.signers.iter().filter(|(_, row)| row.as_ref().is_none_or(|row| row.answer.is_empty()));
        let names: Vec<String> = missing.map(|(signer, _)| signer.to_string()).collect();
        let message = format!(
            "waits for signatures of signers without a network: {} of {} are here; carry bundles to {} and bring their answers",
            waiting.signed(),
            waiting.needed,
            names.join(" or ")
        );
        self.notice(ALARM, &waiting.row.txid, &message).await
    }

    /// Raises an alarm that does not stop the step, unless it stands with these words.
    async fn notice(&self, code: &str, subject: &str, message: &str) -> Result<(), StepError> {
        let alarms = self.store.alarms().await?;
        let standing = alarms.iter().find(|alarm| alarm.code == code && alarm.subject == subject);
        if standing.is_some_and(|alarm| alarm.message == message) {
            return Ok(());
        }
        let at = now();
        let mut step = Move::new(at).run(Statement::raise_alarm(code, subject, message, at));
        if standing.is_none() {
            step = step.audit("system", &format!("alarm.{code}"), subject, message);
        }
        self.store.commit(step).await?;
        Ok(())
    }

    async fn clear(&self, code: &str, subject: &str) -> Result<(), StepError> {
        let at = now();
        self.store.commit(Move::new(at).run(Statement::clear_alarm(code, subject, at))).await?;
        Ok(())
    }
}
