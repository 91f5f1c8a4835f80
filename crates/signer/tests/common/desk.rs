//! Ceremonies at a signer inside the test: stopped after any step, and looked for what they leave.

use std::io;
use std::path::{Path, PathBuf};

use signer::ceremony::Bench;
use signer::ceremony::backup::{self, Destination, Holder, Plan};
use signer::core::Core;
use signer::refusal::Refused;
use signer::seed::Seed;
use signer::vault::{Opener, Vault, open_seed, random};
use signer_wire::Instruction as WireInstruction;
use types::{KeyStep, Moment, Network, SignerId, Step};

use super::cores::Cores;
use super::{HOLDER, House, SLOT, kek};

/// A step that is about no wallet.
pub fn step(step: Step, signer: &str) -> KeyStep {
    KeyStep {
        requester: "oona".parse().unwrap(),
        signer: signer.parse().unwrap(),
        step,
        wallet: None,
        seconds: 0,
        signatures: 0,
        reason: "the yearly exercise".to_owned(),
    }
}

/// Approved by the key quorum; the fleet's clock goes on, so that every instruction is another one.
pub fn approved(fleet: &mut Cores, one: Step, signer: &str) -> WireInstruction {
    fleet.now = fleet.now.plus_seconds(1);
    fleet.house.key_step(step(one, signer), fleet.now)
}

/// What stops a ceremony after its step number `at`; none lets it through.
pub struct Fault {
    pub at: Option<usize>,
    pub seen: Vec<&'static str>,
}

impl Fault {
    pub fn after(at: Option<usize>) -> Fault {
        Fault { at, seen: Vec::new() }
    }

    pub fn watch(&mut self, step: &'static str) -> io::Result<()> {
        self.seen.push(step);
        if self.at == Some(self.seen.len() - 1) { Err(io::Error::other("pulled the plug")) } else { Ok(()) }
    }
}

/// Holds a ceremony at a signer of the fleet.
pub fn hold<T>(
    fleet: &mut Cores,
    position: usize,
    instruction: &WireInstruction,
    fault: &mut Fault,
    ceremony: impl FnOnce(&mut Bench<'_>) -> Result<T, Refused>,
) -> Result<T, Refused> {
    let mut watch = |step| fault.watch(step);
    let mut bench = Bench {
        core: fleet.cores[position].as_mut().unwrap(),
        directory: fleet.directories[position].path(),
        instruction,
        person: "carl",
        terminal: "tty1",
        now: fleet.now,
        watch: &mut watch,
    };
    ceremony(&mut bench)
}

/// Kim, with the key of the desk's slot.
pub fn kim(_: Vault, _: &sealing::Envelope) -> Result<(types::OperatorId, sealing::SlotName, sealing::Kek), Refused> {
    Ok((HOLDER.parse().unwrap(), SLOT.parse().unwrap(), kek()))
}

pub fn holders(names: &[&str], directory: &Path) -> Vec<Holder> {
    let holder = |name: &&str| Holder {
        name: name.parse().unwrap(),
        to: Destination::Words(directory.join(format!("{name}.share"))),
        place: format!("the safe of {name}"),
        seal: "0042".to_owned(),
    };
    names.iter().map(holder).collect()
}

pub fn back_up(
    fleet: &mut Cores,
    position: usize,
    instruction: &WireInstruction,
    (threshold, holders): (u8, &[Holder]),
    fault: &mut Fault,
) -> Result<String, Refused> {
    let mut plan = Plan {
        threshold,
        holders,
        page: &mut signer::ceremony::sheet::page,
        print: &mut |_, _| panic!("nothing is printed here"),
        random: &mut random,
    };
    hold(fleet, position, instruction, fault, |bench| backup::hold(bench, &mut plan, &mut kim)).map(|done| done.detail)
}

pub fn paths(holders: &[Holder]) -> Vec<PathBuf> {
    let path = |holder: &Holder| match &holder.to {
        Destination::Words(path) | Destination::Page(path) => path.clone(),
        Destination::Printer => panic!("no file"),
    };
    holders.iter().map(path).collect()
}

/// The seed of a signer of the fleet, opened as its holder opens it.
pub fn seed(fleet: &Cores, position: usize) -> Seed {
    unsealed(fleet.cores[position].as_ref().unwrap(), fleet.directories[position].path())
}

pub fn unsealed(core: &Core, directory: &Path) -> Seed {
    let envelope = Vault::Seed.read(directory).unwrap();
    let (person, slot, kek) = kim(Vault::Seed, &envelope).unwrap();
    let opener = Opener { person: &person, terminal: "tty1", slot: &slot, kek: &kek };
    let key = core.unseal(Vault::Seed, &envelope, &opener).unwrap();
    open_seed(&envelope, &key, Network::Regtest).unwrap()
}

/// Every file below a directory.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Finds no file below a directory with the seed or an account's key in the clear, as bytes, hexadecimal, or a share's words.
pub fn assert_clean(directory: &Path, seed: &Seed, words: &[String]) {
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let mut secrets: Vec<Vec<u8>> = vec![seed.expose().to_vec()];
    secrets.extend((0..2).map(|account| seed.account(account, &secp).unwrap().0.expose()[..32].to_vec()));
    let mut needles: Vec<Vec<u8>> = words.iter().map(|words| words.clone().into_bytes()).collect();
    for secret in secrets {
        needles.push(hex::encode(&secret).into_bytes());
        needles.push(hex::encode_upper(&secret).into_bytes());
        needles.push(secret);
    }
    for path in files(directory).into_iter().filter(|path| !path.ends_with("control.sock")) {
        let bytes = std::fs::read(&path).unwrap();
        for needle in &needles {
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_slice());
            assert!(!found, "{} holds a secret in the clear", path.display());
        }
    }
}

/// The words of a share's file.
pub fn words(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().find(|line| !line.starts_with('#')).unwrap().to_owned()
}

pub fn code<T: std::fmt::Debug>(outcome: Result<T, Refused>) -> String {
    outcome.unwrap_err().code.to_string()
}

/// A charter that follows the house's, with other signers and the same descriptors, signed by the old quorum.
pub fn successor(
    house: &House,
    replaced: &[(SignerId, signer::enrol::Enrolment)],
) -> (policy::Charter, Vec<types::Approval>) {
    let mut next = house.charter.clone();
    next.version += 1;
    next.previous = Some(house.charter.digest());
    for (old, new) in replaced {
        let place = next.signers.iter_mut().find(|signer| signer.id == *old).unwrap();
        place.id = new.signer.parse().unwrap();
        place.journal_key = *new.journal_key.parse::<types::Digest>().unwrap().as_bytes();
    }
    let digest = next.digest();
    let approvals = ["olga", "omar"].map(|name| house.ssh(name, name, "claviger-charter", &digest)).to_vec();
    (next, approvals)
}

/// Some moment after the fleet's.
pub fn later(fleet: &Cores, seconds: i64) -> Moment {
    fleet.now.plus_seconds(seconds)
}

/// Writes an instruction and its approvals to files; the arguments that name them.
pub fn allowed(directory: &Path, name: &str, wire: &WireInstruction) -> Vec<String> {
    let path = directory.join(format!("{name}.instruction"));
    std::fs::write(&path, &wire.canonical).unwrap();
    let mut arguments = vec!["--instruction".to_owned(), path.to_str().unwrap().to_owned()];
    for approval in &wire.evidence.approvals {
        let path = directory.join(format!("{name}.{}.sig", approval.operator));
        std::fs::write(&path, &approval.signature).unwrap();
        arguments.extend(["--approval".to_owned(), format!("{}={}", approval.operator, path.display())]);
    }
    arguments
}
