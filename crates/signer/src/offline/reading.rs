//! What a bundle says and would bring about, as this signer reads it by itself: for the person before its screen.

use std::path::Path;

use chains::bitcoin::Effects;
use policy::{Charter, Counted, count_approvals};
use signer_wire::{Bundle, Instruction as WireInstruction};
use types::{Digest, Evidence, Instruction, Moment, OperatorId, SignerId, grouped, sentence, words};

use super::{check_addressee, check_offline, moves_coins};
use crate::core::{Examined, Trial};
use crate::enrol::{self, files};
use crate::refusal::{Code, Refused};

/// Who agreed to an instruction, and who did not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Whose approvals count.
    pub people: Vec<OperatorId>,
    /// Whose do not, with the reason.
    pub refused: Vec<(String, String)>,
}

impl Agreed {
    fn of(charter: &Charter, instruction: &Instruction, evidence: &Evidence, now: Moment) -> Agreed {
        let Counted { people, refused, .. } = count_approvals(charter, instruction, &evidence.approvals, now);
        let refused = refused.iter().map(|(who, why)| (who.to_string(), why.to_string())).collect();
        Agreed { people: people.into_iter().collect(), refused }
    }
}

/// An instruction that comes first.
#[derive(Clone, Debug)]
pub struct StepReading {
    /// What it says.
    pub instruction: Instruction,
    /// Who agreed.
    pub agreed: Agreed,
    /// Whether it was carried out before.
    pub done_before: bool,
}

/// A payment.
#[derive(Clone, Debug)]
pub struct PaymentReading {
    /// What it says.
    pub instruction: Instruction,
    /// Who agreed.
    pub agreed: Agreed,
    /// The tier that lets it through; none when none does.
    pub tier: Option<String>,
}

/// What a bundle says and would bring about.
#[derive(Clone, Debug)]
pub struct Reading {
    /// This signer.
    pub signer: SignerId,
    /// The bundle's digest.
    pub digest: Digest,
    /// Charters that would be taken, by version and digest.
    pub charters: Vec<(u64, Digest)>,
    /// Instructions that come first.
    pub steps: Vec<StepReading>,
    /// Payments.
    pub payments: Vec<PaymentReading>,
    /// What the transaction does, where it does what the payments say.
    pub effects: Option<Effects>,
    /// Connected signers, and how many speak through the bundle.
    pub peers: (usize, usize),
    /// Why it is not signed; none when it may be.
    pub refused: Option<Refused>,
}

/// Reads a bundle without writing anything, also while somebody else is reading.
///
/// # Errors
/// What keeps it from being read at all; everything else stands in [`Reading::refused`].
pub fn read(directory: &Path, bundle: &Bundle, now: Moment) -> Result<Reading, Refused> {
    let unreadable = |error: &dyn std::error::Error| Refused::new(Code::Journal, error.to_string());
    let (id, keys, _) = enrol::load(directory).map_err(|error| unreadable(&error))?;
    check_addressee(bundle, &id)?;
    let mut trial =
        Trial::open(id.clone(), keys, &directory.join(files::JOURNAL)).map_err(|error| unreadable(&error))?;
    let held = trial.charter()?.version;
    check_offline(trial.offline())?;
    let mut reading = Reading {
        signer: id,
        digest: bundle.digest(),
        charters: Vec::new(),
        steps: Vec::new(),
        payments: Vec::new(),
        effects: None,
        peers: (trial.peers()?.len(), spoken(bundle, &trial)),
        refused: None,
    };
    reading.refused = reading.go_through(bundle, &mut trial, held, now).err();
    Ok(reading)
}

/// How many connected signers the bundle has a statement of, true or not.
fn spoken(bundle: &Bundle, trial: &Trial) -> usize {
    let peers = trial.peers().unwrap_or_default();
    peers.iter().filter(|peer| bundle.statements.iter().any(|said| said.witness == peer.id.as_str())).count()
}

impl Reading {
    /// In the order in which it is done; the first refusal ends it, but people see what else can be shown.
    fn go_through(&mut self, bundle: &Bundle, trial: &mut Trial, held: u64, now: Moment) -> Result<(), Refused> {
        let taken = self.take_charters(bundle, trial, held, now);
        let charter = trial.charter()?.clone();
        let read = |wire: &WireInstruction| crate::core::read_instruction(wire);
        let payments = bundle.payments.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        for (instruction, evidence) in &payments {
            let agreed = Agreed::of(&charter, instruction, evidence, now);
            self.payments.push(PaymentReading { instruction: instruction.clone(), agreed, tier: None });
        }
        let plain: Vec<&Instruction> = payments.iter().map(|(instruction, _)| instruction).collect();
        let wallet = plain.first().and_then(|first| first.wallet());
        let effects = match wallet {
            None if !moves_coins(bundle) => Ok(()),
            Some(wallet) => trial.effects(wallet, &plain, &bundle.psbt).map(|effects| self.effects = Some(effects)),
            None => Err(Refused::new(Code::Wallet, "the bundle holds no payment out of a wallet")),
        };
        taken?;
        for wire in bundle.steps.iter().chain(&bundle.payments) {
            trial.hear_time(wire, now)?;
        }
        self.go_through_steps(bundle, trial, &charter, now)?;
        if !moves_coins(bundle) {
            let nothing = bundle.steps.is_empty() && self.charters.is_empty();
            return if nothing {
                Err(Refused::new(Code::Nothing, "the bundle holds nothing to do here"))
            } else {
                Ok(())
            };
        }
        effects?;
        let digests: Vec<Digest> = plain.iter().map(|one| one.digest()).collect();
        let txid = self.effects.as_ref().map(|effects| effects.txid.to_string()).unwrap_or_default();
        let nonce = signer_wire::recall_nonce(&txid, digests.iter());
        trial.check_recalled(&nonce, &bundle.statements, now)?;
        let examined: Examined = trial.examine(&bundle.payments, &bundle.psbt, now)?;
        for (payment, tier) in self.payments.iter_mut().zip(examined.tiers()) {
            payment.tier = Some(tier.to_owned());
        }
        Ok(())
    }

    fn take_charters(&mut self, bundle: &Bundle, trial: &mut Trial, held: u64, now: Moment) -> Result<(), Refused> {
        for next in &bundle.charters {
            let charter = Charter::from_bytes(next.charter.as_bytes())
                .map_err(|error| Refused::new(Code::Charter, error.to_string()))?;
            if charter.version > held {
                trial.adopt(&next.charter, &next.approvals, now)?;
                self.charters.push((charter.version, charter.digest()));
            }
        }
        Ok(())
    }

    fn go_through_steps(
        &mut self,
        bundle: &Bundle,
        trial: &mut Trial,
        charter: &Charter,
        now: Moment,
    ) -> Result<(), Refused> {
        for wire in &bundle.steps {
            let (instruction, evidence) = crate::core::read_instruction(wire)?;
            let agreed = Agreed::of(charter, &instruction, &evidence, now);
            let carried_out = trial.execute(wire, now);
            let done_before = matches!(&carried_out, Err(refused) if refused.code == Code::Executed);
            self.steps.push(StepReading { instruction, agreed, done_before });
            if !done_before {
                carried_out?;
            }
        }
        Ok(())
    }

    /// Lines of name and value, in the order in which people read them.
    pub fn lines(&self) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        let mut line = |name: &str, value: String| lines.push((name.to_owned(), value));
        line("bundle for", self.signer.to_string());
        for (version, digest) in &self.charters {
            line("new charter", format!("version {version}, digest {digest} ({})", words(digest).join(" ")));
        }
        for step in &self.steps {
            line("first", sentence(&step.instruction));
            agreed(&mut line, &step.agreed);
            if step.done_before {
                line("", "was carried out here before".to_owned());
            }
        }
        for payment in &self.payments {
            let instruction = &payment.instruction;
            line("payment", sentence(instruction));
            line("destination", grouped(instruction.destination().unwrap_or_default()));
            if let (Some(amount), Some(asset)) = (instruction.amount(), instruction.asset()) {
                let decimal = amount.to_decimal(asset.decimals());
                line("amount", format!("{amount} base units = {decimal} {}", asset.symbol()));
            }
            line("its words", words(&instruction.digest()).join(" "));
            agreed(&mut line, &payment.agreed);
            if let Some(tier) = &payment.tier {
                line("tier", tier.clone());
            }
        }
        if let Some(effects) = &self.effects {
            transaction(&mut line, effects);
        }
        let (connected, spoken) = self.peers;
        line("statements", format!("of {spoken} of {connected} connected signers, {} needed", connected / 2 + 1));
        line("bundle", self.digest.to_string());
        line("six words", words(&self.digest).join(" "));
        if let Some(refused) = &self.refused {
            line("NOT SIGNED", format!("{} ({})", refused.reason, refused.code));
        }
        lines
    }
}

fn agreed(line: &mut impl FnMut(&str, String), agreed: &Agreed) {
    let people: Vec<_> = agreed.people.iter().map(OperatorId::to_string).collect();
    line("approved by", if people.is_empty() { "nobody".to_owned() } else { people.join(", ") });
    for (who, why) in &agreed.refused {
        line("not counted", format!("{who}: {why}"));
    }
}

/// What the transaction does, from its bytes alone.
fn transaction(line: &mut impl FnMut(&str, String), effects: &Effects) {
    for input in &effects.inputs {
        line("spends", format!("{} sat of {} (address {})", input.sats, input.outpoint, input.index));
    }
    match effects.change {
        Some(change) => line("returns", format!("{} sat to our change address {}", change.sats, change.index)),
        None => line("returns", "nothing".to_owned()),
    }
    let rate = effects.fee_sats.saturating_mul(1000).checked_div(effects.vbytes).unwrap_or_default();
    line("fee", format!("{} sat, {rate} sat per 1,000 virtual bytes", effects.fee_sats));
    line("transaction", effects.txid.to_string());
}
