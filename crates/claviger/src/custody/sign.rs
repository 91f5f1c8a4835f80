//! Transactions go to the signers, who check everything themselves.

use std::time::{Duration, Instant};

use bitcoin::consensus::encode::serialize;
use bitcoin::secp256k1::Secp256k1;
use chains::bitcoin::{PartialSignature, combine, finalize};
use ledger::{Kind, Transfer, TransferId};
use orders::PaymentState;
use signer_client::{CallError, SessionError, never_signed, sign};
use signer_wire::Signature;
use store::{Event, Move, PaymentRow, Posting, Statement, TransactionRow, TransactionState};
use types::{Amount, Instruction};

use super::{Custody, FLOAT, StepError, blocking, now, transfer_id};

impl Custody {
    /// Has every generated transaction signed.
    pub(super) async fn sign_transactions(&self) -> Result<(), StepError> {
        let mut outcome = self.tell_heads().await;
        for row in self.store.transactions_in(TransactionState::Generated).await? {
            if self.patience().get(&row.txid).is_some_and(|(until, _)| Instant::now() < *until) {
                continue;
            }
            // What one transaction waits for, others need not.
            let signed =
                if self.is_cold(&row.wallet) { self.sign_by_hand(row).await } else { self.sign_one(row).await };
            if let Err(error) = signed {
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn sign_one(&self, row: TransactionRow) -> Result<(), StepError> {
        let payments = self.store.payments_of_group(&row.group).await?;
        let mut wires = Vec::new();
        for payment in &payments {
            let (instruction, evidence) = self.with_evidence(payment).await?;
            wires.push(crate::wire::instruction(&instruction, &evidence));
        }
        let before = row.clone();
        let row = TransactionRow { asked: true, updated: now(), ..row };
        if !before.asked {
            // Before the first question: from a crash during it on, only a signature or another try ends this.
            self.store.commit(Move::new(row.updated).run(row.update(TransactionState::Generated))).await?;
        }
        let needed = self.wallet(&row.wallet)?.threshold();
        let error = match blocking(|| sign(&mut self.signers(), needed, &wires, &hex::encode(&row.psbt))) {
            Ok(signed) => {
                self.patience().remove(&row.txid);
                let name = |place: usize| self.config.signers.get(place).map_or("?", |signer| signer.id.as_str());
                let names: Vec<&str> = signed.iter().map(|signed| name(signed.signer)).collect();
                let signatures: Vec<_> = signed.iter().flat_map(|signed| signed.signatures.clone()).collect();
                return self.signed(row, &payments, &names, &signatures, "signers").await;
            }
            Err(error) => error,
        };
        let refused = !before.asked && all_refused(&error, self.config.signers.len());
        if refused && (payments.len() > 1 || !may_change(&error)) {
            self.patience().remove(&row.txid);
            return if row.txid == row.group {
                self.dissolve(row, payments, &self.name_signers(&error)).await
            } else {
                self.give_up_bump(row, &error).await
            };
        }
        if refused {
            // None of them has written anything down: what was never asked may be asked, and given up, as before.
            self.store.commit(Move::new(now()).run(before.update(TransactionState::Generated))).await?;
        }
        if self.can_never_be_whole(&row, &payments)? {
            self.patience().remove(&row.txid);
            let words = "it expired, and so many signers say that they never signed it that it can never be paid";
            return if row.txid == row.group {
                self.dissolve(row, payments, words).await
            } else {
                self.give_up_bump(row, &error).await
            };
        }
        self.wait_for_signers(&row.txid);
        Err(StepError::Waiting { code: "signers", message: self.name_signers(&error), subject: row.txid })
    }

    /// Whether every instruction of a transaction has expired, and n - m + 1 signers say under their certificates that they have never
    /// signed for it and never will: fewer than m are left, who cannot sign it alone.
    fn can_never_be_whole(&self, row: &TransactionRow, payments: &[PaymentRow]) -> Result<bool, StepError> {
        let mut asked = Vec::with_capacity(payments.len());
        for payment in payments {
            let instruction = Instruction::from_canonical(payment.canonical.as_bytes())
                .map_err(|_| StepError::Corrupt(format!("the instruction of {}", payment.id)))?;
            if now() < instruction.expires {
                return Ok(false);
            }
            asked.push((instruction.digest().to_string(), payment.canonical.clone()));
        }
        let wallet = self.wallet(&row.wallet)?;
        let enough = wallet.keys().len().saturating_sub(wallet.threshold()) + 1;
        let canonical: Vec<String> = asked.iter().map(|(_, canonical)| canonical.clone()).collect();
        let said = blocking(|| never_signed(&mut self.signers(), &row.txid, &canonical));
        Ok(asked.iter().all(|(digest, _)| said.get(digest).is_some_and(|count| *count >= enough)))
    }

    /// Waits longer after each failure: 0.2 s, twice that, up to five seconds.
    pub(super) fn wait_for_signers(&self, txid: &str) {
        let mut patience = self.patience();
        let (_, failures) = patience.get(txid).copied().unwrap_or((Instant::now(), 0));
        let wait = Duration::from_millis(200).saturating_mul(1 << failures.min(5)).min(Duration::from_secs(5));
        patience.insert(txid.to_owned(), (Instant::now() + wait, failures.saturating_add(1)));
    }

    fn name_signers(&self, error: &SessionError) -> String {
        let refusal = |(position, error): &(usize, CallError)| {
            let name = self.config.signers.get(*position).map_or("?", |signer| signer.id.as_str());
            format!("{name}: {error}")
        };
        format!("too few signers signed; {}", error.refusals.iter().map(refusal).collect::<Vec<_>>().join("; "))
    }

    /// Enough signatures are here; the alarm `code` ends.
    pub(super) async fn signed(
        &self,
        row: TransactionRow,
        payments: &[PaymentRow],
        signers: &[&str],
        signatures: &[Signature],
        code: &str,
    ) -> Result<(), StepError> {
        let corrupt = |error: String| StepError::Corrupt(format!("transaction {}: {error}", row.txid));
        let wallet = self.wallet(&row.wallet)?;
        let (mut psbt, effects) = self.inspected(&row, payments)?;
        let secp = Secp256k1::new();
        for signature in signatures {
            let bytes = |text: &str| hex::decode(text).map_err(|error| corrupt(error.to_string()));
            let part = PartialSignature {
                input: signature.input,
                public_key: bytes(&signature.public_key)?,
                signature: bytes(&signature.signature)?,
            };
            combine(&mut psbt, &effects, &[part], &secp).map_err(|error| corrupt(error.to_string()))?;
        }
        let transaction = finalize(&psbt, wallet, &effects).map_err(|error| corrupt(error.to_string()))?;
        let at = now();
        let next = TransactionRow {
            state: TransactionState::Signed,
            raw: serialize(&transaction),
            updated: at,
            ..row.clone()
        };
        let mut step = Move::new(at)
            .run(next.update(TransactionState::Generated))
            .run(Statement::clear_alarm(code, &row.txid, at))
            .audit("system", "transaction.signed", &row.txid, format!("by {}", signers.join(", ")));
        let body = serde_json::json!({"signers": signers}).to_string();
        step.events.push(Event { kind: "transaction.signed".to_owned(), subject: row.txid.clone(), body });
        for payment in payments.iter().filter(|payment| payment.state == PaymentState::Generated) {
            let next = PaymentRow { state: PaymentState::Signed, updated: at, ..payment.clone() };
            step = step.run(next.update(payment.state)).audit("system", "payment.signed", &payment.id, &*row.txid);
        }
        self.store.commit(step).await?;
        Ok(())
    }

    /// Every signer refused a later try: it is given up, and the earlier one goes on waiting for its block. Coins that only this
    /// try took stay with the group until it is settled.
    async fn give_up_bump(&self, row: TransactionRow, error: &SessionError) -> Result<(), StepError> {
        let words = self.name_signers(error);
        let next = TransactionRow { state: TransactionState::Dissolved, updated: now(), ..row.clone() };
        let step = Move::new(next.updated).run(next.update(TransactionState::Generated));
        let step = step.run(Statement::clear_alarm("signers", &row.txid, next.updated)).audit(
            "system",
            "transaction.dissolved",
            &row.txid,
            &*words,
        );
        self.store.commit(step).await?;
        Err(StepError::Waiting { code: "no-bump", subject: row.group, message: words })
    }

    /// Every signer refused every time, so none of them has written anything down: coins and payments are
    /// free again. Payments that were together are tried alone, so that one of them does not hold up the others; one that was
    /// alone is refused with the signers' words.
    pub(super) async fn dissolve(
        &self,
        row: TransactionRow,
        payments: Vec<PaymentRow>,
        words: &str,
    ) -> Result<(), StepError> {
        let at = now();
        let alone = payments.len() == 1;
        let hold = <[u8; 16]>::try_from(row.fee_hold.as_slice());
        let hold = hold.map_err(|_| StepError::Corrupt(format!("the fee's hold of {}", row.txid)))?;
        let next = TransactionRow { state: TransactionState::Dissolved, updated: at, ..row.clone() };
        let mut step = Move::new(at)
            .run(next.update(TransactionState::Generated))
            .run(Statement::free_coins(&row.group))
            .run(Statement::clear_alarm("signers", &row.txid, at))
            .audit("system", "transaction.dissolved", &row.txid, words);
        let freed = Transfer {
            id: transfer_id(at, &[&row.txid, "dissolve"]),
            debit: self.account(FLOAT).await?,
            credit: self.account(&format!("wallet:{}", row.wallet)).await?,
            amount: Amount::ZERO,
            kind: Kind::Void(TransferId(u128::from_be_bytes(hold))),
        };
        step.postings.push(Posting { transfer: freed, cause: row.txid.clone() });
        for payment in &payments {
            if payment.state != PaymentState::Generated {
                return Err(StepError::Corrupt(format!(
                    "payment {} is {} and was never signed",
                    payment.id, payment.state
                )));
            }
            let next = PaymentRow {
                state: PaymentState::Approved,
                group: String::new(),
                solo: true,
                reason: words.to_owned(),
                updated: at,
                ..payment.clone()
            };
            step = step.run(next.update(payment.state)).audit("system", "payment.approved", &payment.id, words);
        }
        self.store.commit(step).await?;
        if let (true, Some(payment)) = (alone, payments.into_iter().next()) {
            let payment = PaymentRow { state: PaymentState::Approved, group: String::new(), solo: true, ..payment };
            self.end_payment(payment, PaymentState::Refused, words, "system", now()).await?;
        }
        Ok(())
    }
}

/// Whether every signer said no, by name.
fn all_refused(error: &SessionError, signers: usize) -> bool {
    error.refusals.len() == signers && error.refusals.iter().all(|(_, error)| matches!(error, CallError::Refused(_)))
}

/// Whether time or people can still change a signer's mind.
fn may_change(error: &SessionError) -> bool {
    error.refusals.iter().any(|(_, error)| error.retry())
}
