//! Making a signer, giving it its charter, and letting it run.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::Args;
use policy::Charter;
use signer::core::Core;
use signer::enrol::{self, Birth, files};
use signer::seed::{SEED_BYTES, Seed};
use signer::vault::Vault;
use signer::{control, keys, server};
use types::{Network, SignerId};
use walls::{LandlockRule, MemoryRule, Walls};
use zeroize::Zeroizing;

use super::Outcome;
use super::opening::slots;
use super::people::{Person, approvals};

/// `init`.
#[derive(Args)]
pub struct Init {
    /// An empty or new directory.
    #[arg(long)]
    data: PathBuf,
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
    /// `NAME=age:HOLDER,…:RECIPIENT,…`. Without FILE the passphrase is asked for.
    #[arg(long = "seal", value_name = "SLOT", required = true)]
    seal: Vec<String>,
    /// What opens the seed, where that is not what opens the keys; the same forms.
    #[arg(long = "seal-seed", value_name = "SLOT")]
    seal_seed: Vec<String>,
    #[command(flatten)]
    person: Person,
}

impl Init {
    /// Makes the signer.
    pub fn run(self) -> Outcome {
        let account_slots = slots(&self.seal)?;
        let seed_slots = if self.seal_seed.is_empty() { slots(&self.seal)? } else { slots(&self.seal_seed)? };
        let mut bytes = Zeroizing::new([0; SEED_BYTES]);
        getrandom::fill(bytes.as_mut()).map_err(|_| "the system gives no randomness")?;
        let enrolment = enrol::create(
            &self.data,
            Birth {
                id: self.id,
                network: self.network,
                accounts: self.accounts,
                seed: Seed::from_bytes(bytes.as_slice(), self.network)?,
                seed_slots,
                account_slots,
                by: self.person.actor("set up"),
                now: server::now(),
                ceremony: None,
            },
        )?;
        println!("{}", serde_json::to_string_pretty(&enrolment)?);
        Ok(())
    }
}

/// `adopt`.
#[derive(Args)]
pub struct Adopt {
    /// The signer's directory.
    #[arg(long)]
    data: PathBuf,
    /// The charter's canonical bytes.
    #[arg(long)]
    charter: PathBuf,
    /// A signature over its digest, as OPERATOR=FILE; once for each operator who signed.
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
        let charter = Charter::from_bytes(&fs::read(&self.charter)?)?;
        let approvals = approvals(&self.approvals)?;
        let offline = charter.signer(&id).is_some_and(|own| own.offline);
        let certificate = match (&self.client_certificate, offline) {
            (Some(path), false) => Some(fs::read(path)?),
            (None, true) => None,
            (Some(_), true) => return Err("this signer has no network by its charter: it takes no certificate".into()),
            (None, false) => return Err("name the online system's certificate: --client-certificate FILE".into()),
        };
        let mut core = Core::open(id, keys, &self.data.join(files::JOURNAL))?;
        core.adopt_first(&charter, &approvals, server::now())?;
        for vault in [Vault::Seed, Vault::Accounts] {
            core.check_holders(&vault.read(&self.data)?)?;
        }
        if let Some(certificate) = certificate {
            keys::write_secret(&self.data.join(files::CLIENT), &certificate)?;
        }
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
            read_only: vec![],
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
        let core = Core::open(id, keys, &self.data.join(files::JOURNAL))?;
        if core.offline() {
            return Err("this signer has no network by its charter: use `claviger-signer offline`".into());
        }
        let config = server::tls(&self.data, &enrolment)?;
        let control = control::bind(&self.data)?;
        let listener = TcpListener::bind(self.listen)?;
        if let Some(user) = &self.user {
            walls::drop_privileges(user)?;
        }
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
        server::serve(&listener, &config, &core)?;
        Ok(())
    }
}
