//! Restoring: a seed comes back from shares, on a new signer with a new name. Its coins are those of the charter's descriptors; the
//! journal of the lost signer is gone, and with it what it had signed, so the old name never comes back: peers would remember more of
//! it than it does.

use std::path::Path;

use chains::bitcoin::{AccountKey, WalletDescriptor};
use policy::Charter;
use types::{Approval, Body, EVERY_SIGNER, Instruction, Moment, Network, SignerId, Step};

use super::sheet::Sheets;
use super::{Slots, Watch, causes, chain, held, held_before, refused, same_seed};
use crate::core::{Core, check_quorum};
use crate::enrol::{self, Birth, Enrolment, Origin, files};
use crate::life::Actor;
use crate::refusal::{Code, Refused};
use crate::seed::Seed;
use crate::vault::Vault;

/// How many accounts of a seed are looked for in the charter.
const ACCOUNTS_MAX: u32 = 60;

/// A signer that is to come back.
pub struct Restoration<'a> {
    /// A new directory.
    pub directory: &'a Path,
    /// Its new name.
    pub id: &'a SignerId,
    /// How many accounts at least.
    pub accounts: u32,
    /// Charters from the first to the newest.
    pub charters: &'a [Charter],
    /// Signatures on them.
    pub chain_approvals: &'a [Approval],
    /// The key quorum's instruction with its approvals.
    pub instruction: &'a signer_wire::Instruction,
    /// The shares.
    pub sheets: &'a Sheets,
    /// For which network the seed was made, as a person read it from paper.
    pub made_for: Option<Network>,
    /// Who leads it, and where.
    pub person: &'a str,
    /// Where.
    pub terminal: &'a str,
    /// When.
    pub now: Moment,
}

/// Restores a signer; gives its public enrolment for the next charter.
///
/// # Errors
/// `share-missing`, `share-mixed`, `share-network`, `seed-foreign`, `restore-name`, `restore-signer`, `step`, `directory`, `held-before`,
/// those of the chain and of the quorum.
pub fn hold(restoration: &Restoration<'_>, slots: &mut Slots<'_>, watch: &mut Watch<'_>) -> Result<Enrolment, Refused> {
    let charter = chain::verify(restoration.charters, restoration.chain_approvals)?;
    let instruction = Instruction::from_canonical(restoration.instruction.canonical.as_bytes())
        .map_err(|error| Refused::new(Code::Instruction, error.to_string()))?;
    let before = before(restoration.directory, instruction.id.as_str())?;
    let lost = match &before {
        Some(_) => String::new(),
        None => allowed(restoration, charter, &instruction)?,
    };
    let network = restoration.sheets.network(restoration.made_for)?.ok_or_else(|| {
        let reason =
            "the words do not say for which network the seed was made; read it from the paper: --made-for NETWORK";
        Refused::new(Code::ShareNetwork, reason)
    })?;
    if network != charter.network {
        let reason = format!("the shares are of a seed for {network}, the charter is for {}", charter.network);
        return Err(Refused::new(Code::ShareNetwork, reason));
    }
    let bytes = restoration.sheets.secret()?;
    let seed = Seed::from_bytes(&bytes, network).map_err(|error| Refused::new(Code::SeedForeign, error.to_string()))?;
    drop(bytes);
    if let Some((core, enrolment)) = before {
        // The shares of this very call have to be those of the signer that stands there, under the name that is asked for.
        if core.id() != restoration.id || !same_seed(&core, &seed)?.1 {
            let held = format!("signer {} was restored in this directory", enrolment.signer);
            return Err(held_before(&held, "these shares or this name are another signer's"));
        }
        return Ok(enrolment);
    }
    let accounts = restoration.accounts.max(accounts_of(&seed, charter)?);
    let fingerprint = seed.fingerprint(&bitcoin::secp256k1::Secp256k1::new());
    let fingerprint = fingerprint.map_err(|error| Refused::new(Code::SeedForeign, error.to_string()))?;
    let detail = format!(
        "set {}: {} shares gave seed {fingerprint} of signer {lost}, under charter version {} with digest {}",
        restoration.sheets.set(),
        restoration.sheets.count(),
        charter.version,
        charter.digest()
    );
    let (seed_slots, account_slots) = (slots(Vault::Seed)?, slots(Vault::Accounts)?);
    let birth = Birth {
        id: restoration.id.clone(),
        network,
        accounts,
        device: None,
        seed,
        seed_slots,
        account_slots,
        by: Actor {
            person: restoration.person.to_owned(),
            terminal: restoration.terminal.to_owned(),
            cause: instruction.id.to_string(),
        },
        now: restoration.now,
        ceremony: Some(Origin {
            step: Step::Restore.to_string(),
            detail,
            instruction: instruction.id.to_string(),
            base: Some(charter.digest()),
            public: Vec::new(),
        }),
    };
    // A crash in there leaves a directory of another name, with ciphertext that nobody was told of, or a whole signer.
    enrol::create_watched(restoration.directory, birth, watch)
        .map_err(|error| Refused::new(Code::Directory, causes(&error)))
}

/// Refuses what no key quorum of the newest charter allows; gives the name of the lost signer.
fn allowed(restoration: &Restoration<'_>, charter: &Charter, instruction: &Instruction) -> Result<String, Refused> {
    let Body::KeyStep(step) = &instruction.body else {
        return Err(Refused::new(Code::Kind, "the instruction is no step of a key's life"));
    };
    if step.step != Step::Restore {
        return Err(Refused::new(Code::Step, format!("the instruction is to {}, not to {}", step.step, Step::Restore)));
    }
    let approvals = restoration.instruction.evidence.approvals.iter().map(crate::core::read_approval);
    let approvals = approvals.collect::<Result<Vec<_>, _>>()?;
    check_quorum(charter, instruction, &approvals, restoration.now)?;
    if step.signer.as_str() != EVERY_SIGNER && charter.signer(&step.signer).is_none() {
        return Err(Refused::new(Code::RestoreSigner, format!("the charter knows no signer {}", step.signer)));
    }
    if charter.signer(restoration.id).is_some() {
        let reason = format!("the charter has a signer {} already; a restored signer takes a new name", restoration.id);
        return Err(Refused::new(Code::RestoreName, reason));
    }
    Ok(step.signer.to_string())
}

/// How many accounts the charter's wallets know of this seed.
fn accounts_of(seed: &Seed, charter: &Charter) -> Result<u32, Refused> {
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let mut known = Vec::new();
    for wallet in &charter.wallets {
        let descriptor = WalletDescriptor::parse(&wallet.descriptor, charter.network)
            .map_err(|error| Refused::new(Code::CharterUnfit, format!("wallet {}: {error}", wallet.id)))?;
        known.extend(descriptor.keys().iter().map(AccountKey::public_key));
    }
    let mut accounts = None;
    for account in 0..ACCOUNTS_MAX {
        let derived =
            seed.account(account, &secp).map_err(|error| Refused::new(Code::SeedForeign, error.to_string()))?;
        let key = AccountKey::parse(&derived.1, charter.network);
        if key.is_ok_and(|key| known.contains(&key.public_key())) {
            accounts = Some(account.saturating_add(1));
        }
    }
    accounts.ok_or_else(|| {
        let reason = "no wallet of the charter has a key of this seed: the shares are another house's or network's";
        Refused::new(Code::SeedForeign, reason)
    })
}

/// What an earlier try under this instruction made.
fn before(directory: &Path, instruction: &str) -> Result<Option<(Core, Enrolment)>, Refused> {
    if !directory.join(files::ENROLMENT).exists() {
        return Ok(None);
    }
    let (id, keys, enrolment) = enrol::load(directory).map_err(refused)?;
    let core = Core::open(id, keys, &directory.join(files::JOURNAL))
        .map_err(|error| Refused::new(Code::Directory, causes(&error)))?;
    Ok(held(&core, Step::Restore.as_str(), instruction).map(|_| (core, enrolment)))
}
