//! Generation: a seed from every source there is, and what is published about it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use types::{Digest, SignerId};
use zeroize::Zeroizing;

use super::dice::Dice;
use super::entropy::{CONTRIBUTION_BYTES, Part, SYSTEM_BYTES, mix};
use super::health::{Health, examine};
use super::{Random, refused};
use crate::enrol::{self, Enrolment};
use crate::refusal::{Code, Refused};
use crate::seed::Seed;

/// The word in the journal.
pub const STEP: &str = "generate";
/// The report's file in the signer's directory.
pub const REPORT: &str = "generation.json";

/// What is published about a generation. Public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The ceremony's name.
    pub ceremony: String,
    /// The digest of all commitments; empty when no other party took part.
    pub commitments: String,
    /// Bits of entropy from dice.
    pub dice_bits: String,
    /// Rolls of dice.
    pub dice_rolls: String,
    /// What the health tests of the system's source saw.
    pub health: Health,
    /// The network.
    pub network: String,
    /// Who made the seed.
    pub person: String,
    /// The party.
    pub signer: String,
    /// Where.
    pub terminal: String,
}

/// What other parties gave.
#[derive(Debug, Default)]
pub struct Others {
    /// Contributions by party, the own among them; none where a signer is made alone.
    pub contributions: BTreeMap<SignerId, [u8; CONTRIBUTION_BYTES]>,
    /// The digest of all commitments.
    pub commitments: Option<Digest>,
}

/// Makes a seed: tests the source, draws, and mixes.
///
/// # Errors
/// `random`, `source-stuck`, `source-uneven`; `entropy-missing` when others took part and this party did not; `seed` for one seed in 2^127.
pub fn seed(
    part: &Part,
    others: &Others,
    dice: Option<&Dice>,
    source: &mut Random<'_>,
    person: &str,
    terminal: &str,
) -> Result<(Seed, Report), Refused> {
    if !others.contributions.is_empty() && !others.contributions.contains_key(&part.signer) {
        return Err(Refused::new(Code::EntropyMissing, format!("{} has not revealed", part.signer)));
    }
    let health = examine(source)?;
    let mut system = Zeroizing::new([0; SYSTEM_BYTES]);
    source(system.as_mut_slice()).map_err(|error| Refused::new(Code::Random, error.to_string()))?;
    let bytes = mix(part, &system, dice, &others.contributions)?;
    let seed = Seed::from_bytes(bytes.as_slice(), part.network);
    let seed = seed.map_err(|error| Refused::new(Code::Seed, error.to_string()))?;
    let report = Report {
        ceremony: part.ceremony.clone(),
        commitments: others.commitments.map(|digest| digest.to_string()).unwrap_or_default(),
        dice_bits: dice.map_or(0, Dice::bits).to_string(),
        dice_rolls: dice.map_or(0, Dice::rolls).to_string(),
        health,
        network: part.network.to_string(),
        person: person.to_owned(),
        signer: part.signer.to_string(),
        terminal: terminal.to_owned(),
    };
    Ok((seed, report))
}

impl Report {
    /// What stands in the journal.
    pub fn detail(&self) -> String {
        let parties = if self.commitments.is_empty() {
            "no other party".to_owned()
        } else {
            format!("commitments {}", self.commitments)
        };
        format!(
            "ceremony {}: system source healthy over {} bytes, {} rolls of dice ({} bits), {parties}",
            self.ceremony, self.health.samples, self.dice_rolls, self.dice_bits
        )
    }
}

/// The enrolment of a signer that this generation has made before.
pub fn before(directory: &Path, part: &Part, others: &Others) -> Result<Option<Enrolment>, Refused> {
    let path = directory.join(REPORT);
    let Ok(bytes) = fs::read(&path) else { return Ok(None) };
    let report: Report = serde_json::from_slice(&bytes)
        .map_err(|_| Refused::new(Code::Directory, format!("{} is damaged", path.display())))?;
    let digest = others.commitments.map(|digest| digest.to_string()).unwrap_or_default();
    let same = report.commitments == digest && report.signer == part.signer.as_str();
    if same { enrol::read_enrolment(directory).map(Some).map_err(refused) } else { Ok(None) }
}
