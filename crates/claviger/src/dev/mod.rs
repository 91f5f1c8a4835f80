//! A whole house on one machine, for trying things out. Everything that separates powers in production (machines, people,
//! keys) lies in one directory here, so it refuses every network whose coins could be worth something.

mod fleet;
mod people;
mod purse;
mod terminal;
mod tour;

use std::path::{Path, PathBuf};

use node::regtest::Bitcoind;
use policy::{
    Charter, Customer, Destinations, FeeCaps, Operator, PaymentKind, Quorum, SignerIdentity, Tier, Wallet, WalletClass,
    WalletWindow, Window,
};
use types::{Amount, Asset, Digest, Network};

use crate::Outcome;
use fleet::{Enrolment, Fleet};
use people::People;

/// Everything that runs.
pub struct House {
    node: Bitcoind,
    fleet: Fleet,
    people: People,
    charter: Charter,
}

/// Starts the house; plays the tour or stays up until Enter is pressed.
pub fn run(tour: bool, data: Option<PathBuf>, network: Network) -> Outcome {
    if network != Network::Regtest {
        return Err(format!(
            "a development house keeps all keys on one machine; it refuses {network} and runs on regtest only"
        ));
    }
    terminal::warning("NOT FOR PRODUCTION: all keys of this house lie in one directory. Private chain, loopback only.");
    let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
    let directory = data.unwrap_or_else(|| temporary.path().join("house"));
    if directory.exists() {
        return Err(format!("{} exists; name a new directory", directory.display()));
    }
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut house = House::start(&directory)?;
    if tour {
        return tour::play(&mut house);
    }
    house.describe(&directory);
    println!("\nPress Enter to stop.");
    std::io::stdin().read_line(&mut String::new()).map(|_| ()).map_err(|error| error.to_string())
}

impl House {
    fn start(directory: &Path) -> Outcome<House> {
        let node = terminal::step("bitcoind on a private chain", || {
            Bitcoind::start(&directory.join("bitcoind")).map_err(|error| error.to_string())
        })?;
        let people =
            terminal::step("keys of two operators and a customer", || People::create(&directory.join("people")))?;
        let enrolments = terminal::step("seeds and certificates of three signers", || fleet::init(directory))?;
        let charter = charter(&people, &enrolments)?;
        let fleet = terminal::step("charter, signed by both operators and adopted by every signer", || {
            charter.check().map_err(|error| error.to_string())?;
            let approvals = people.sign_all("claviger-charter", &charter.digest())?;
            Fleet::start(directory, enrolments, &charter, &approvals)
        })?;
        Ok(House { node, fleet, people, charter })
    }

    fn describe(&self, directory: &Path) {
        println!("\ncharter     {}", directory.join("charter.json").display());
        for (name, address) in self.fleet.addresses() {
            println!("signer {name}   {address} (mutual TLS)");
        }
        for wallet in &self.charter.wallets {
            println!("wallet {:5}{}", wallet.id, wallet.descriptor);
        }
    }
}

fn charter(people: &People, enrolments: &[Enrolment]) -> Outcome<Charter> {
    let id = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    let descriptor = |account: usize| {
        let keys: Vec<_> = enrolments.iter().filter_map(|enrolment| enrolment.accounts.get(account).cloned()).collect();
        format!("wsh(sortedmulti(2,{}))", keys.join(","))
    };
    let wallet = |name: &str, class, account| -> Outcome<Wallet> {
        let asset = Asset::Bitcoin(Network::Regtest);
        Ok(Wallet { id: id(name)?, asset, class, descriptor: descriptor(account), gap_limit: 20 })
    };
    let window = |seconds, sats| Window { seconds, amount_max: Amount::from_sats(sats) };
    let tier = |name: &str, kind, sats, windows, people, destinations| -> Outcome<Tier> {
        Ok(Tier {
            name: name.to_owned(),
            wallet: id("hot")?,
            kind,
            amount_max: Amount::from_sats(sats),
            windows,
            quorum: Quorum { people, organisations: people },
            destinations,
            customer_signature: kind == PaymentKind::CustomerWithdrawal,
        })
    };
    let operators = people.operators().map(|(name, organisation, key)| {
        Ok(Operator {
            id: name.parse().map_err(|error| format!("{name}: {error}"))?,
            name: name.to_owned(),
            organisation: organisation.to_owned(),
            approver: true,
            keys: vec![key.to_owned()],
        })
    });
    let signers = enrolments.iter().map(|enrolment| {
        let key: Digest = enrolment.journal_key.parse().map_err(|_| "a journal key has no form".to_owned())?;
        let id = enrolment.signer.parse().map_err(|_| "a signer's name has no form".to_owned())?;
        Ok(SignerIdentity { id, journal_key: *key.as_bytes() })
    });
    let two = Quorum { people: 2, organisations: 2 };
    Ok(Charter {
        version: 1,
        previous: None,
        network: Network::Regtest,
        operators: operators.collect::<Outcome<_>>()?,
        customers: vec![Customer { id: "alice".parse().map_err(|_| "alice")?, keys: vec![people.customer_key()] }],
        signers: signers.collect::<Outcome<_>>()?,
        wallets: vec![wallet("hot", WalletClass::Hot, 0)?, wallet("cold", WalletClass::Cold, 1)?],
        tiers: vec![
            tier(
                "automatic",
                PaymentKind::CustomerWithdrawal,
                5_000_000,
                vec![window(3600, 10_000_000)],
                0,
                Destinations::Any,
            )?,
            tier("quorum", PaymentKind::CustomerWithdrawal, 200_000_000, vec![], 2, Destinations::Any)?,
            tier("sweep", PaymentKind::OperatorTransfer, 500_000_000, vec![], 1, Destinations::OwnWallets)?,
        ],
        totals: vec![WalletWindow { wallet: "hot".parse().map_err(|_| "hot")?, window: window(86_400, 1_000_000_000) }],
        allow_list: vec![],
        fee: FeeCaps { sats_max: 100_000, sats_per_kvb_max: 200_000 },
        charter_quorum: two,
        release_quorum: two,
        clock_step_seconds_max: 86_400,
        instruction_seconds_max: 86_400,
    })
}
