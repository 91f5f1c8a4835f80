//! What every ceremony at a signer takes: the key quorum's instruction, and what opens the sealed files.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use sealing::{Envelope, Kek, NewSlot, SlotName};
use signer::ceremony::{Bench, Watch, causes};
use signer::core::Core;
use signer::enrol::{self, files};
use signer::refusal::{Code, Refused};
use signer::server;
use signer::vault::Vault;
use signer_wire::{Approval, Evidence, Instruction};
use types::{Network, OperatorId, SignerId};

use super::Outcome;
use super::opening::{self, Opening};
use super::people::{Person, approvals};

/// The key quorum's instruction.
#[derive(Args)]
pub struct Allowed {
    /// The instruction's canonical bytes, that a key quorum approved.
    #[arg(long, value_name = "FILE")]
    instruction: PathBuf,
    /// An approval of it, as OPERATOR=FILE; once for each operator.
    #[arg(long = "approval", value_name = "OPERATOR=FILE")]
    approvals: Vec<String>,
}

impl Allowed {
    /// Reads both.
    pub fn read(&self) -> Outcome<Instruction> {
        let canonical = fs::read_to_string(&self.instruction)
            .map_err(|error| format!("{}: {error}", self.instruction.display()))?;
        let approval = |one: types::Approval| Approval { operator: one.operator.to_string(), signature: one.signature };
        let approvals = approvals(&self.approvals)?.into_iter().map(approval).collect();
        let evidence = Evidence { customer_request: None, approvals };
        Ok(Instruction { canonical: canonical.trim_end().to_owned(), evidence })
    }
}

/// What opens the seed, where that is not what opens the keys.
#[derive(Args)]
pub struct SeedOpening {
    /// The seed's slot to open.
    #[arg(long)]
    seed_slot: Option<SlotName>,
    /// A file with the passphrase of the seed's slot.
    #[arg(long, value_name = "FILE")]
    seed_passphrase_file: Option<PathBuf>,
    /// Who opens the seed, where that is somebody else.
    #[arg(long)]
    seed_person: Option<OperatorId>,
}

/// Puts together what opens a sealed file, once it is asked for.
pub fn unlock<'a>(
    accounts: &'a Opening,
    seed: Option<&'a SeedOpening>,
    person: &'a OperatorId,
) -> impl FnMut(Vault, &Envelope) -> Result<(OperatorId, SlotName, Kek), Refused> + 'a {
    move |vault, envelope| {
        let seed = seed.filter(|_| vault == Vault::Seed);
        let opened = match seed {
            Some(seed) => accounts.for_seed(seed.seed_slot.clone(), seed.seed_passphrase_file.clone()).kek(envelope),
            None => accounts.kek(envelope),
        };
        let (slot, kek) = opened.map_err(|error| Refused::new(Code::Opening, text(&*error)))?;
        let holder = seed.and_then(|seed| seed.seed_person.clone()).unwrap_or_else(|| person.clone());
        Ok((holder, slot, kek))
    }
}

/// Makes new slots from `--seal` and `--seal-seed`, once they are asked for.
pub fn new_slots<'a>(
    seal: &'a [String],
    seal_seed: &'a [String],
    signer: &'a SignerId,
    network: Network,
) -> impl FnMut(Vault) -> Result<Vec<NewSlot>, Refused> + 'a {
    move |vault| {
        let texts = if vault == Vault::Seed && !seal_seed.is_empty() { seal_seed } else { seal };
        let context = vault.context(signer, network)?;
        opening::slots(texts, &context).map_err(|error| Refused::new(Code::Seal, text(&*error)))
    }
}

fn text(error: &(dyn Error + 'static)) -> String {
    causes(error)
}

/// Opens the signer in `data`, which must not run, and holds a ceremony there.
pub fn hold<T>(
    data: &Path,
    allowed: &Allowed,
    person: &Person,
    ceremony: impl FnOnce(&mut Bench<'_>) -> Result<T, Refused>,
) -> Outcome<T> {
    let instruction = allowed.read()?;
    let mut core = open(data)?;
    let watch: &mut Watch<'_> = &mut |_| Ok(());
    let mut bench = Bench {
        core: &mut core,
        directory: data,
        instruction: &instruction,
        person: person.person.as_str(),
        terminal: &person.terminal(),
        now: server::now(),
        watch,
    };
    Ok(ceremony(&mut bench)?)
}

/// Opens the signer in `data`, which must not run.
pub fn open(data: &Path) -> Outcome<Core> {
    let (id, keys, _) = enrol::load(data)?;
    Ok(Core::open(id, keys, &data.join(files::JOURNAL))?)
}
