//! What people decide that moves no coin: latches to open, destinations to enter, anchors to release, the next charter.
//!
//! Proposed by one, signed by a quorum, carried to the signers as soon as enough have signed. Signers count again.

use policy::{
    Action, Charter, Counted, KeyPlace, Quorum, Role, changes, count_approvals, is_apart, missing, verify_succession,
};
use serde::{Deserialize, Serialize};
use signer_wire::RequestBody;
use store::{ApprovalRow, CommitError, Event, Move, ProposalRow, Statement};
use types::{Approval, Body, Digest, Freeze, Instruction, KeyStep, Moment, OperatorId, RefusalCode, Step, sentence};

use super::approvals::worth;
use super::{Custody, StepError, blocking, explain};
use crate::problem::Problem;

/// What is proposed.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Proposal {
    /// Open a latch.
    Unfreeze {
        /// The signer, or `all`.
        signer: String,
        /// The latch.
        latch: String,
        /// Why it may be opened.
        reason: String,
    },
    /// Let a destination into a customer's address book.
    AddressEntry {
        /// Whose.
        customer: String,
        /// The address.
        address: String,
    },
    /// Let an instruction be signed without its anchor.
    AnchorRelease {
        /// The instruction.
        instruction: String,
        /// The anchor, TXID:VOUT.
        anchor: String,
    },
    /// A step in the life of a signer's keys.
    KeyStep {
        /// The signer, or `all`.
        signer: String,
        /// `activate`, `suspend-key`, `suspend-seed`, `resume-seed`, and what is done at the signer's own machine: `derive-account`,
        /// `backup`, `rehearse`, `reseal`, `restore`.
        step: String,
        /// The wallet whose key is activated or suspended; empty for other steps.
        #[serde(default)]
        wallet: String,
        /// How long an activation lasts, in seconds; 0 for other steps.
        #[serde(default)]
        seconds: u64,
        /// How many signatures an activation allows; 0 for other steps.
        #[serde(default)]
        signatures: u64,
        /// Why.
        reason: String,
    },
    /// The next charter. Version and predecessor are filled in here; everything else is as it stands.
    Charter {
        /// The charter as JSON, spaces allowed.
        charter: String,
        /// Digest of the charter that was edited: another one meanwhile makes this a conflict.
        base: String,
    },
}

/// How far a proposal is.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its row.
    pub row: ProposalRow,
    /// The sentence that people read.
    pub sentence: String,
    /// What a charter changes.
    pub changes: Vec<(String, String)>,
    /// Who has signed validly.
    pub people: Vec<String>,
    /// What was handed in and does not count.
    pub refused: Vec<String>,
    /// What is needed.
    pub quorum: Quorum,
    /// What is missing, in words; empty when enough have signed.
    pub missing: String,
}

/// How long an instruction that moves no coins can gather approvals, in seconds, unless the charter says less.
const LIFETIME_SECONDS: u64 = 24 * 3_600;

impl Custody {
    /// Puts something before the people.
    pub async fn propose(
        &self,
        operator: &OperatorId,
        key: &str,
        wanted: &Proposal,
        now: Moment,
    ) -> Result<ProposalRow, Problem> {
        let action = if matches!(wanted, Proposal::Charter { .. }) {
            Action::ProposeCharter
        } else {
            Action::ProposeInstruction
        };
        self.allow(operator, action, now).await?;
        let name = Digest::of(&[b"claviger-proposal-id-v1\n", operator.as_str().as_bytes(), b"\n", key.as_bytes()]);
        let id = format!("pr-{}", name.to_string().get(..16).unwrap_or_default());
        if let Some(row) = self.store.proposal(&id).await? {
            return Ok(row);
        }
        let (kind, text, digest, words) = match wanted {
            Proposal::Charter { charter, base } => {
                let next = self.next_charter(charter, base)?;
                let text = String::from_utf8(next.to_bytes()).unwrap_or_default();
                ("charter".to_owned(), text, next.digest(), format!("charter version {}", next.version))
            }
            other => {
                let instruction = self.instruction_of(&id, operator, other, now)?;
                let text = String::from_utf8(instruction.canonical()).unwrap_or_default();
                (instruction.kind().to_owned(), text, instruction.digest(), sentence(&instruction))
            }
        };
        let row = ProposalRow {
            id,
            kind,
            text,
            digest,
            requester: format!("operator:{operator}"),
            state: "open".to_owned(),
            outcome: String::new(),
            created: now,
            updated: now,
        };
        let mut step = Move::new(now).run(row.insert()).audit(&row.requester, "proposal.made", &row.id, words);
        step.events.push(event(&row));
        match self.store.commit(step).await {
            Ok(_) => Ok(row),
            Err(CommitError::Constraint) => {
                self.store.proposal(&row.id).await?.ok_or_else(|| CommitError::Stale.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn next_charter(&self, text: &str, base: &str) -> Result<Charter, Problem> {
        let wrong = |error: String| Problem::invalid("charter", error);
        if base != self.charter.digest().to_string() {
            let detail =
                format!("version {} is in force meanwhile; look at it and propose again", self.charter.version);
            return Err(Problem::new(409, "charter-moved", detail));
        }
        let mut value: serde_json::Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let fields = value.as_object_mut().ok_or_else(|| wrong("a charter is a JSON object".to_owned()))?;
        fields.insert("version".to_owned(), self.charter.version.saturating_add(1).to_string().into());
        fields.insert("previous".to_owned(), self.charter.digest().to_string().into());
        let bytes = serde_json::to_vec(&value).map_err(|error| wrong(error.to_string()))?;
        let next = Charter::from_bytes(&bytes).map_err(|error| wrong(error.to_string()))?;
        if next.network != self.charter.network {
            return Err(wrong("a charter cannot move to another network".to_owned()));
        }
        if changes(&self.charter, &next).iter().all(|(place, _)| place == "version" || place == "previous") {
            return Err(Problem::invalid("nothing-changed", "this charter changes nothing"));
        }
        Ok(next)
    }

    fn instruction_of(
        &self,
        id: &str,
        operator: &OperatorId,
        wanted: &Proposal,
        now: Moment,
    ) -> Result<Instruction, Problem> {
        let wrong = |field: &str, error: String| Problem::invalid("instruction", format!("{field}: {error}"));
        let body = match wanted {
            Proposal::Unfreeze { signer, latch, reason } => {
                let known = signer == types::EVERY_SIGNER || self.config.signers.iter().any(|one| one.id == *signer);
                if !known || latch.is_empty() || reason.is_empty() {
                    return Err(wrong("unfreeze", "name a signer (or \"all\"), a latch and a reason".to_owned()));
                }
                Body::Unfreeze(Freeze {
                    requester: operator.clone(),
                    signer: signer.parse().map_err(|error: types::IdError| wrong("signer", error.to_string()))?,
                    latch: latch.clone(),
                    reason: reason.clone(),
                })
            }
            Proposal::AddressEntry { customer, address } => {
                let customer =
                    customer.parse().map_err(|error: types::IdError| wrong("customer", error.to_string()))?;
                if self.charter.customer(&customer).is_none() {
                    return Err(wrong("customer", format!("the charter knows no customer {customer}")));
                }
                chains::bitcoin::parse_address(address, self.charter.network)
                    .map_err(|error| wrong("address", error.to_string()))?;
                Body::AddressEntry { requester: operator.clone(), customer, address: address.clone() }
            }
            Proposal::AnchorRelease { instruction, anchor } => Body::AnchorRelease {
                requester: operator.clone(),
                instruction: instruction
                    .parse()
                    .map_err(|error: types::IdError| wrong("instruction", error.to_string()))?,
                anchor: anchor.clone(),
            },
            Proposal::KeyStep { signer, step, wallet, seconds, signatures, reason } => {
                let known = signer == types::EVERY_SIGNER
                    || self.charter.signers.iter().any(|one| one.id.as_str() == signer)
                    || step == Step::Restore.as_str();
                if !known || reason.is_empty() {
                    return Err(wrong("signer", "name a signer of the charter (or \"all\"), and a reason".to_owned()));
                }
                let wallet = match wallet.as_str() {
                    "" => None,
                    name => Some(self.wallet_named(name)?),
                };
                let caps = self.charter.activation;
                if *seconds > caps.seconds_max || *signatures > caps.signatures_max {
                    let most = format!("at most {} seconds and {} signatures", caps.seconds_max, caps.signatures_max);
                    return Err(wrong("activation", format!("the charter allows {most}")));
                }
                Body::KeyStep(KeyStep {
                    requester: operator.clone(),
                    signer: signer.parse().map_err(|error: types::IdError| wrong("signer", error.to_string()))?,
                    step: step.parse().map_err(|error: types::InstructionError| wrong("step", error.to_string()))?,
                    wallet,
                    seconds: *seconds,
                    signatures: *signatures,
                    reason: reason.clone(),
                })
            }
            Proposal::Charter { .. } => return Err(wrong("kind", "a charter is no instruction".to_owned())),
        };
        let seconds = LIFETIME_SECONDS.min(self.charter.instruction_seconds_max);
        let instruction = Instruction {
            id: id.parse().map_err(|error: types::IdError| wrong("id", error.to_string()))?,
            created: now.whole_seconds(),
            expires: now.whole_seconds().plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)),
            charter: self.charter.version,
            body,
        };
        // What has no canonical form (a control character in a reason, say) is refused here, not at the signers.
        Instruction::from_canonical(&instruction.canonical()).map_err(|error| wrong("instruction", error.to_string()))
    }

    /// How far a proposal is, counted anew.
    pub async fn standing(&self, row: ProposalRow, now: Moment) -> Result<Standing, Problem> {
        let mut approvals = Vec::new();
        for row in self.store.approvals(&row.id).await? {
            let operator = row.operator.parse().map_err(|_| Problem::new(500, "storage", "an approval by nobody"))?;
            approvals.push(Approval { operator, signature: row.signature });
        }
        let broken = |error: String| Problem::new(500, "storage", error);
        if row.kind == "charter" {
            let next = Charter::from_bytes(row.text.as_bytes()).map_err(|error| broken(error.to_string()))?;
            return Ok(self.charter_standing(row, &next, &approvals, now));
        }
        let instruction =
            Instruction::from_canonical(row.text.as_bytes()).map_err(|error| broken(error.to_string()))?;
        let counted = count_approvals(&self.charter, &instruction, &approvals, now);
        let quorum = self.charter.quorum_for(&instruction.body);
        let missing = if instruction.charter != self.charter.version {
            format!("made under charter version {}; propose it again", instruction.charter)
        } else if instruction.expires <= now {
            format!("it expired at {}; propose it again", instruction.expires)
        } else {
            missing(&self.charter, Some(&instruction.requester()), &counted, quorum, now)
        };
        Ok(Standing {
            sentence: sentence(&instruction),
            changes: vec![],
            people: counted.people.iter().map(ToString::to_string).collect(),
            refused: counted.refused.iter().map(|(who, why)| format!("{who}: {why}")).collect(),
            quorum,
            missing,
            row,
        })
    }

    fn charter_standing(&self, row: ProposalRow, next: &Charter, approvals: &[Approval], now: Moment) -> Standing {
        let quorum = self.charter.charter_quorum;
        let mut counted = Counted::default();
        for approval in approvals {
            // What is done was counted under the charter before.
            if (row.state != "open" || self.signature_counts(next, approval, now))
                && let Some(operator) = self.charter.operator(&approval.operator)
            {
                counted.people.push(operator.id.clone());
                counted.organisations.insert(operator.organisation.clone());
                if is_apart(&approval.signature) {
                    counted.apart.insert(operator.id.clone());
                }
            }
        }
        let missing = match verify_succession(&self.charter, next, approvals, now) {
            Ok(()) => String::new(),
            Err(policy::SuccessionError::Quorum { .. } | policy::SuccessionError::OwnReading { .. }) => {
                missing(&self.charter, None, &counted, quorum, now)
            }
            Err(other) => other.to_string(),
        };
        Standing {
            sentence: format!(
                "Put charter version {} in force, which changes {} of version {}.",
                next.version,
                if row.state == "open" { "the following" } else { "parts" },
                next.version.saturating_sub(1)
            ),
            changes: if row.state == "open" { changes(&self.charter, next) } else { vec![] },
            people: counted.people.iter().map(ToString::to_string).collect(),
            refused: vec![],
            quorum,
            missing,
            row,
        }
    }

    /// Whether one signature on a charter holds.
    fn signature_counts(&self, next: &Charter, approval: &Approval, now: Moment) -> bool {
        let quorum = self.charter.charter_quorum;
        match verify_succession(&self.charter, next, std::slice::from_ref(approval), now) {
            Ok(()) => quorum.people <= 1,
            Err(policy::SuccessionError::Quorum { counted, .. }) => counted == 1,
            // It is valid, and one more has to read elsewhere.
            Err(policy::SuccessionError::OwnReading { .. }) => true,
            Err(_) => false,
        }
    }

    /// Takes a signature. With enough of them, it is carried out at once.
    pub async fn approve_proposal(
        &self,
        id: &str,
        operator: &OperatorId,
        signature: &str,
        now: Moment,
    ) -> Result<ProposalRow, Problem> {
        self.allow(operator, Action::Approve, now).await?;
        let row = self.open_proposal(id).await?;
        self.check_revoked(signature).await?;
        let approval = Approval { operator: operator.clone(), signature: signature.to_owned() };
        let refused = if row.kind == "charter" {
            let next = Charter::from_bytes(row.text.as_bytes());
            let counts = next.is_ok_and(|next| self.signature_counts(&next, &approval, now));
            (!counts).then(|| {
                "the signature is not over this charter, or the charter in force does not let you sign it".to_owned()
            })
        } else {
            let instruction = Instruction::from_canonical(row.text.as_bytes())
                .map_err(|error| Problem::new(500, "storage", error.to_string()))?;
            let counted = count_approvals(&self.charter, &instruction, &[approval], now);
            counted.refused.first().map(|(_, refusal)| refusal.to_string())
        };
        if let Some(reason) = refused {
            return Err(Problem::new(403, "approval-refused", reason));
        }
        let approval = ApprovalRow { operator: operator.to_string(), signature: signature.to_owned(), created: now };
        let worth = |signature: &str| {
            let approval = Approval { operator: operator.clone(), signature: signature.to_owned() };
            // Here somebody who has read elsewhere counts for more than a key that stays in its device.
            self.worth(&row, approval, now).map(|place| (is_apart(signature), place))
        };
        let step = Move::new(now).audit(&format!("operator:{operator}"), "proposal.approved-by", id, "");
        self.keep_approval(id, &approval, worth, step).await?;
        let standing = self.standing(row, now).await?;
        if standing.missing.is_empty() {
            self.carry_out(standing, operator, false, now).await
        } else {
            Ok(standing.row)
        }
    }

    /// What an approval of a proposal counts for.
    fn worth(&self, row: &ProposalRow, approval: Approval, now: Moment) -> Option<KeyPlace> {
        if row.kind == "charter" {
            let next = Charter::from_bytes(row.text.as_bytes()).ok()?;
            return self.signature_counts(&next, &approval, now).then_some(KeyPlace::Anywhere);
        }
        let instruction = Instruction::from_canonical(row.text.as_bytes()).ok()?;
        worth(&self.charter, &instruction, approval, now)
    }

    async fn open_proposal(&self, id: &str) -> Result<ProposalRow, Problem> {
        let row = self.store.proposal(id).await?.ok_or_else(|| Problem::not_found("proposal"))?;
        if row.state == "open" {
            return Ok(row);
        }
        Err(Problem::new(409, "not-open", format!("this proposal is {}: {}", row.state, row.outcome)))
    }

    /// Carries what enough people have signed to the signers. Can be repeated while some of them are away.
    pub async fn carry_out_proposal(
        &self,
        id: &str,
        operator: &OperatorId,
        force: bool,
        now: Moment,
    ) -> Result<ProposalRow, Problem> {
        self.allow(operator, Action::CarryOut, now).await?;
        let standing = self.standing(self.open_proposal(id).await?, now).await?;
        if !standing.missing.is_empty() {
            return Err(Problem::new(409, "approvals-missing", standing.missing));
        }
        self.carry_out(standing, operator, force, now).await
    }

    async fn carry_out(
        &self,
        standing: Standing,
        operator: &OperatorId,
        force: bool,
        now: Moment,
    ) -> Result<ProposalRow, Problem> {
        let actor = format!("operator:{operator}");
        let mut approvals = Vec::new();
        for row in self.store.approvals(&standing.row.id).await? {
            let operator = row.operator.parse().map_err(|_| Problem::new(500, "storage", "an approval by nobody"))?;
            approvals.push(Approval { operator, signature: row.signature });
        }
        let mut row = ProposalRow { state: "done".to_owned(), updated: now, ..standing.row };
        if row.kind == "charter" {
            // Only those that count: the same bytes that signers will judge.
            let adopted = self.adopt_charter(&row.text, &approvals, force, &actor, now).await?;
            row.outcome = format!("in force at {}", adopted.signers.join(", "));
            let mut step = Move::new(now).run(row.update()).audit(&actor, "proposal.done", &row.id, &*row.outcome);
            step.events.push(event(&row));
            // Done all the same: the next start finds the charter in force and says so.
            let _ = self.store.commit(step).await;
            return Ok(row);
        }
        let instruction = Instruction::from_canonical(row.text.as_bytes())
            .map_err(|error| Problem::new(500, "storage", error.to_string()))?;
        let elsewhere = self.carried_by_hand(&instruction.body);
        let (done, failed) =
            if elsewhere.is_some() { (vec![], vec![]) } else { blocking(|| self.execute(&instruction, &approvals)) };
        let detail = format!("done at {}; not at: {}", done.join(", "), failed.join("; "));
        if !failed.is_empty() {
            let _ = self.store.commit(Move::new(now).audit(&actor, "proposal.tried", &row.id, &*detail)).await;
            return Err(Problem::unavailable("signers", format!("{detail}; carry it out again when they answer")));
        }
        row.outcome =
            elsewhere.unwrap_or_else(|| format!("done at {}{}", done.join(", "), self.further(&instruction.body)));
        let mut step = Move::new(now).run(row.update()).audit(&actor, "proposal.done", &row.id, &*row.outcome);
        if let Body::AddressEntry { customer, address, .. } = &instruction.body {
            step = step.run(Statement::enter_address(customer.as_str(), address, now));
        }
        step.events.push(event(&row));
        self.store.commit(step).await?;
        self.wake();
        Ok(row)
    }

    fn wallet_named(&self, name: &str) -> Result<types::WalletId, Problem> {
        let wallet = name.parse().ok().filter(|id| self.charter.wallet(id).is_some());
        wallet.ok_or_else(|| Problem::invalid("unknown-wallet", format!("the charter knows no wallet \"{name}\"")))
    }

    /// Where people have to take a step of a key's life that no connected signer can be handed; none for everything else.
    fn carried_by_hand(&self, body: &Body) -> Option<String> {
        let bundle = || Some("agreed; it goes to signers without a network with the next bundle".to_owned());
        let without = |signer: &types::SignerId| self.charter.signer(signer).is_some_and(|signer| signer.offline);
        let step = match body {
            Body::KeyStep(step) => step,
            Body::Unfreeze(freeze) if without(&freeze.signer) => return bundle(),
            _ => return None,
        };
        let offline = without(&step.signer);
        let cold = step.wallet.as_ref().and_then(|wallet| self.charter.wallet(wallet));
        let cold = cold.is_some_and(|wallet| wallet.class == policy::WalletClass::Cold);
        if step.step.remote() && (offline || cold) {
            return bundle();
        }
        (!step.step.remote()).then(|| format!("agreed; to be done at the machine of signer {}", step.signer))
    }

    /// What a decision about every signer still needs where the charter has signers without a network.
    fn further(&self, body: &Body) -> &'static str {
        let every = match body {
            Body::KeyStep(step) => step.wallet.is_none() && step.signer.as_str() == types::EVERY_SIGNER,
            _ => false,
        };
        if every && self.charter.signers.iter().any(|signer| signer.offline) {
            "; at signers without a network with the next bundle"
        } else {
            ""
        }
    }

    /// Asks every signer that it concerns; those that have done it before count as done.
    fn execute(&self, instruction: &Instruction, approvals: &[Approval]) -> (Vec<String>, Vec<String>) {
        let only = match &instruction.body {
            Body::Unfreeze(freeze) if freeze.signer.as_str() != types::EVERY_SIGNER => Some(freeze.signer.to_string()),
            Body::KeyStep(step) if step.signer.as_str() != types::EVERY_SIGNER => Some(step.signer.to_string()),
            _ => None,
        };
        let latch = match &instruction.body {
            Body::Unfreeze(freeze) if only.is_none() => Some(freeze.latch.clone()),
            _ => None,
        };
        let wire = signer_wire::Instruction {
            canonical: String::from_utf8_lossy(&instruction.canonical()).into_owned(),
            evidence: signer_wire::Evidence {
                customer_request: None,
                approvals: approvals.iter().map(crate::wire::approval).collect(),
            },
        };
        let (mut done, mut failed) = (vec![], vec![]);
        for (client, config) in self.signers().iter_mut().zip(&self.config.signers) {
            if only.as_ref().is_some_and(|only| *only != config.id) {
                continue;
            }
            match client.call(RequestBody::Execute { instruction: wire.clone() }) {
                Ok(_) => done.push(config.id.clone()),
                Err(signer_client::CallError::Refused(refusal))
                    if refusal.code == RefusalCode::Executed
                        || (latch.is_some() && refusal.code == RefusalCode::Latch) =>
                {
                    done.push(config.id.clone());
                }
                Err(error) => failed.push(format!("{}: {}", config.id, explain(error))),
            }
        }
        (done, failed)
    }

    /// Takes a proposal back: whoever made it, or any approver.
    pub async fn withdraw_proposal(
        &self,
        id: &str,
        operator: &OperatorId,
        now: Moment,
    ) -> Result<ProposalRow, Problem> {
        let row = self.open_proposal(id).await?;
        let actor = format!("operator:{operator}");
        let approver = self.operator(operator.as_str(), now)?.is(Role::Approver);
        if row.requester != actor && !approver {
            return Err(Problem::new(403, "role", "whoever proposed it, or an approver, can take it back"));
        }
        let row = ProposalRow {
            state: "withdrawn".to_owned(),
            outcome: format!("taken back by {operator}"),
            updated: now,
            ..row
        };
        let mut step = Move::new(now).run(row.update()).audit(&actor, "proposal.withdrawn", id, "");
        step.events.push(event(&row));
        self.store.commit(step).await?;
        Ok(row)
    }

    /// At the start: what another charter has overtaken is closed, and the one that is in force is done.
    pub(super) async fn close_overtaken(&self, now: Moment) -> Result<(), StepError> {
        for row in self.store.proposals(1_000).await?.into_iter().filter(|row| row.state == "open") {
            let in_force = row.digest == self.charter.digest();
            let overtaken = if row.kind == "charter" {
                Charter::from_bytes(row.text.as_bytes()).is_ok_and(|next| next.version <= self.charter.version)
            } else {
                Instruction::from_canonical(row.text.as_bytes()).is_ok_and(|one| one.charter != self.charter.version)
            };
            if !in_force && !overtaken {
                continue;
            }
            let (state, outcome) = if in_force {
                ("done", "in force".to_owned())
            } else {
                ("withdrawn", format!("overtaken by charter version {}", self.charter.version))
            };
            let row = ProposalRow { state: state.to_owned(), outcome, updated: now, ..row };
            let mut step =
                Move::new(now).run(row.update()).audit("system", &format!("proposal.{state}"), &row.id, &*row.outcome);
            step.events.push(event(&row));
            self.store.commit(step).await?;
        }
        Ok(())
    }

    /// Refuses a passkey that was reported lost; signers know it until the next charter, so this is one door more, not the lock.
    pub(super) async fn check_revoked(&self, signature: &str) -> Result<(), Problem> {
        let value: serde_json::Value = serde_json::from_str(signature).unwrap_or_default();
        let Some(credential) = value.get("credential").and_then(serde_json::Value::as_str) else { return Ok(()) };
        match self.store.credential(credential).await? {
            Some(row) if row.revoked.is_some() => {
                Err(Problem::new(403, "passkey-revoked", "this passkey was revoked and approves nothing here"))
            }
            _ => Ok(()),
        }
    }
}

fn event(row: &ProposalRow) -> Event {
    let body =
        serde_json::json!({"state": row.state, "kind": row.kind, "requester": row.requester, "outcome": row.outcome});
    Event { kind: format!("proposal.{}", row.state), subject: row.id.clone(), body: body.to_string() }
}
