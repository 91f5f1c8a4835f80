//! Making a signer, giving it its charter, and letting it run.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bitcoin::secp256k1::PublicKey;
use clap::Args;
use signer::ceremony::dice::Dice;
use signer::ceremony::entropy::Part;
use signer::ceremony::generate::{self, Others};
use signer::core::Core;
use signer::device::{DeviceFacts, NewDevice};
use signer::enrol::{self, Birth, EnrolError, Enrolment, Origin, files};
use signer::vault::{Vault, check_apart, random, slot_lines};
use signer::{control, keys, server};
use token::Export;
use types::{Network, SignerId};
use walls::{LandlockRule, MemoryRule, Walls};
use zeroize::Zeroizing;

use super::Outcome;
use super::entropy::Table;
use super::opening::{holders, slots};
use super::people::{Person, approvals, charters};
use super::token::Place;

/// `init`.
#[derive(Args)]
pub struct Init {
    /// An empty or new directory.
    #[arg(long)]
    data: PathBuf,
    /// The directory with every party's commitment and reveal, see `entropy`; without it, no other party takes part.
    #[arg(long, value_name = "DIRECTORY")]
    entropy: Option<PathBuf>,
    /// A file with at least 99 rolls of a die, as digits; `-` asks for them. They are mixed with the system's randomness.
    #[arg(long, value_name = "FILE")]
    dice: Option<PathBuf>,
    /// Name of the signer.
    #[arg(long)]
    id: SignerId,
    /// bitcoin, testnet4, signet or regtest.
    #[arg(long)]
    network: Network,
    /// How many account keys to make, one for each wallet.
    #[arg(long, default_value_t = 2)]
    accounts: u32,
    /// What opens the keys, once for each way: `NAME=passphrase:HOLDER[:FILE]`, `NAME=shares:M:HOLDER,HOLDER,…:DIRECTORY`,
    /// `NAME=age:HOLDER,…:RECIPIENT,…`, `NAME=token:HOLDER,…:MODULE:LABEL:KEY[:PINFILE]` (PKCS #11; the wrapping key is made
    /// where the token has none of that name). Without FILE or PINFILE the passphrase or PIN is asked for.
    #[arg(long = "seal", value_name = "SLOT", required = true)]
    seal: Vec<String>,
    /// What opens the seed, where that is not what opens the keys; the same forms.
    #[arg(long = "seal-seed", value_name = "SLOT")]
    seal_seed: Vec<String>,
    /// Make a further account's key inside a token (PKCS #11), where it stays: `HOLDER,…:MODULE:LABEL:KEY[:PINFILE]`, with those who
    /// hold the PIN.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// The device's key may be cloned to a second device, once: it signs nothing before it is sealed.
    #[arg(long, requires = "device")]
    device_clone: bool,
    /// The device's certificate, to be written down, such as "CMVP 4321".
    #[arg(long, requires = "device", default_value = "")]
    device_certificate: String,
    #[command(flatten)]
    person: Person,
}

impl Init {
    /// Makes the signer.
    pub fn run(self) -> Outcome {
        let table = self.entropy.as_deref().map(Table::read).transpose()?;
        let others = table.as_ref().map(Table::open).transpose()?.unwrap_or_default();
        let ceremony = table.as_ref().map_or("alone", Table::ceremony).to_owned();
        let data = self.data.clone();
        let part = Part { ceremony, network: self.network, signer: self.id.clone() };
        let enrolment = match table.as_ref().map(|_| generate::before(&data, &part, &others)).transpose()?.flatten() {
            Some(before) => before,
            None => self.make(&part, &others)?,
        };
        if let Some(table) = &table {
            // A crash before this leaves a whole signer that nobody heard of: the same command publishes it.
            table.publish(&data, &part.signer)?;
        }
        println!("{}", serde_json::to_string_pretty(&enrolment)?);
        Ok(())
    }

    fn make(self, part: &Part, others: &Others) -> Outcome<Enrolment> {
        if fs::read_dir(&self.data).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(EnrolError::Taken(self.data).into());
        }
        let dice = self.dice.as_deref().map(dice).transpose()?;
        let (person, terminal) = (self.person.person.to_string(), self.person.terminal());
        let (seed, report) = generate::seed(part, others, dice.as_ref(), &mut random, &person, &terminal)?;
        drop(dice);
        let context = |vault: Vault| vault.context(&self.id, self.network);
        let account_slots = slots(&self.seal, &context(Vault::Accounts)?)?;
        let seal_seed = if self.seal_seed.is_empty() { &self.seal } else { &self.seal_seed };
        let seed_slots = slots(seal_seed, &context(Vault::Seed)?)?;
        let device = self.device()?;
        let birth = Birth {
            id: self.id,
            network: self.network,
            accounts: self.accounts,
            device,
            seed,
            seed_slots,
            account_slots,
            by: self.person.actor(&part.ceremony),
            now: server::now(),
            ceremony: Some(Origin {
                step: generate::STEP.to_owned(),
                detail: report.detail(),
                instruction: String::new(),
                base: None,
                public: vec![(generate::REPORT, serde_json::to_vec(&report)?)],
            }),
        };
        Ok(enrol::create(&self.data, birth)?)
    }
}

/// Reads rolls of dice.
fn dice(file: &Path) -> Outcome<Dice> {
    let text = if file == Path::new("-") {
        rpassword::prompt_password("Rolls of the die, 99 or more: ").map(Zeroizing::new)?
    } else {
        Zeroizing::new(fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?)
    };
    Ok(Dice::read(&text)?)
}

impl Init {
    /// Makes the key inside the device.
    fn device(&self) -> Outcome<Option<NewDevice>> {
        let Some(text) = &self.device else { return Ok(None) };
        if fs::read_dir(&self.data).is_ok_and(|mut entries| entries.next().is_some()) {
            // Before the device has a key that nobody uses.
            return Err(EnrolError::Taken(self.data.clone()).into());
        }
        let (people, place) = text.split_once(':').ok_or("a device is written HOLDER,…:MODULE:LABEL:KEY[:PINFILE]")?;
        let place: Place = place.parse()?;
        let holders = holders(people)?;
        let token = place.open()?;
        let export = if self.device_clone { Export::UntilSealed } else { Export::Never };
        let public_key = PublicKey::from_slice(&token.create_signing_key(&place.key, export)?)?;
        let (facts, certificate) = (DeviceFacts::of(&token, &place.key), self.device_certificate.clone());
        Ok(Some(NewDevice { public_key, facts, holders, certificate }))
    }
}

/// `adopt`.
#[derive(Args)]
pub struct Adopt {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    /// The charter's canonical bytes. For a signer that comes later: every charter from the first one on, in order.
    #[arg(long = "charter", value_name = "FILE", required = true)]
    charters: Vec<PathBuf>,
    /// A signature over a charter's digest, as OPERATOR=FILE; once for each operator who signed, those of all versions together.
    #[arg(long = "approval", value_name = "OPERATOR=FILE")]
    approvals: Vec<String>,
    /// The online system's certificate (PEM). A signer without a network has none.
    #[arg(long)]
    client_certificate: Option<PathBuf>,
}

impl Adopt {
    /// Takes the charter.
    pub fn run(self) -> Outcome {
        let (id, keys, _) = enrol::load(&self.data)?;
        let charters = charters(&self.charters)?;
        let charter = charters.last().ok_or("name the charter: --charter FILE")?;
        let approvals = approvals(&self.approvals)?;
        let offline = charter.signer(&id).is_some_and(|own| own.offline);
        let certificate = match (&self.client_certificate, offline) {
            (Some(path), false) => Some(fs::read(path)?),
            (None, true) => None,
            (Some(_), true) => return Err("this signer has no network by its charter: it takes no certificate".into()),
            (None, false) => return Err("name the online system's certificate: --client-certificate FILE".into()),
        };
        let custodians = charter.signer(&id).map(|own| own.custodians.clone()).unwrap_or_default();
        for vault in [Vault::Seed, Vault::Accounts] {
            check_apart(&custodians, &vault.read(&self.data)?)?;
        }
        let mut core = Core::open(id, keys, &self.data.join(files::JOURNAL))?;
        core.check_chain(&charters, &approvals)?;
        // The certificate first: a crash in between leaves a signer without a charter, which takes both again.
        if let Some(certificate) = certificate {
            let path = self.data.join(files::CLIENT);
            if path.exists() {
                fs::remove_file(&path)?;
            }
            keys::write_secret(&path, &certificate)?;
        }
        core.adopt_chain(&charters, &approvals, server::now())?;
        println!("adopted charter version {} with digest {}", charter.version, charter.digest());
        Ok(())
    }
}

/// `run`.
#[derive(Args)]
pub struct Run {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    /// Address and port; port 0 takes a free one.
    #[arg(long)]
    listen: SocketAddr,
    /// The user to become once the port is open, when started as root; the directory must be that user's.
    #[arg(long)]
    user: Option<String>,
    /// A further directory that stays writable, such as that of a software token; once for each.
    #[arg(long, value_name = "DIRECTORY")]
    read_write: Vec<PathBuf>,
    /// A further directory or file that stays readable, such as a token library's configuration; once for each.
    #[arg(long, value_name = "PATH")]
    read_only: Vec<PathBuf>,
    /// The library (PKCS #11) of the device that holds this signer's key. It is loaded before the walls go up.
    #[arg(long, value_name = "FILE")]
    device_module: Option<PathBuf>,
    /// Let memory go to the swap: for hosts without one, or with an encrypted one, that do not let memory be locked.
    #[arg(long)]
    may_swap: bool,
    /// Run on a kernel without Landlock, too.
    #[arg(long)]
    landlock_if_there: bool,
}

impl Run {
    fn walls(&self, port: u16) -> Walls {
        Walls {
            read_write: std::iter::once(&self.data).chain(&self.read_write).cloned().collect(),
            read_only: self.read_only.clone(),
            listen_port: Some(port),
            memory: if self.may_swap { MemoryRule::MaySwap } else { MemoryRule::Locked },
            landlock: if self.landlock_if_there { LandlockRule::IfThere } else { LandlockRule::Required },
        }
    }
}

impl Run {
    /// Listens for ever.
    pub fn run(self) -> Outcome {
        let (id, keys, enrolment) = enrol::load(&self.data)?;
        let mut core = Core::open(id, keys, &self.data.join(files::JOURNAL))?;
        core.show_slots(slot_lines(&self.data)?);
        if let Some(module) = &self.device_module {
            token::load(module)?;
            core.use_module(module.clone());
        }
        if core.offline() {
            return Err("this signer has no network by its charter: use `claviger-signer offline`".into());
        }
        let door = server::tls(&self.data, &enrolment)?;
        let listener = TcpListener::bind(self.listen)?;
        if let Some(user) = &self.user {
            walls::drop_privileges(user)?;
        }
        // As the user who owns it: whoever opens keys needs no root.
        let control = control::bind(&self.data)?;
        // Before the first other thread, and before any secret is in memory.
        let report = self.walls(listener.local_addr()?.port()).raise()?;
        eprintln!("walls: {report}");
        let core = Arc::new(Mutex::new(core));
        let (people, clock) = (Arc::clone(&core), Arc::clone(&core));
        let data = self.data.clone();
        std::thread::spawn(move || control::serve(&control, &data, &people));
        std::thread::spawn(move || server::tick(&clock));
        println!("listening {}", listener.local_addr()?);
        std::io::stdout().flush()?;
        server::serve(&listener, door, &core)?;
        Ok(())
    }
}
