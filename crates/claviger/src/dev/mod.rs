//! A whole house on one machine, for trying things out. Everything that separates powers in production (machines, people,
//! keys) lies in one directory here, so it refuses every network whose coins could be worth something.

mod fleet;
mod people;
mod purse;
mod service;
mod terminal;
mod tour;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use node::regtest::Bitcoind;
use policy::{
    ActivationCaps, Charter, Customer, Destinations, FeeCaps, Operator, PaymentKind, Quorum, RelyingParty, Role,
    SignerIdentity, Tier, Wallet, WalletClass, WalletWindow, Window,
};
use types::{Amount, Asset, Digest, Network};

use crate::Outcome;
use crate::cli::Client;
use crate::config::{
    Config, ConfirmationRule, ConsoleConfig, DepositConfig, NodeConfig, OperatorKey, SignerConfig, WithdrawalConfig,
};
use fleet::Enrolment;
use people::{ADMINISTRATOR, CUSTOMERS};

pub use fleet::Fleet;
pub use people::People;
pub use purse::{Draft, Purse};
pub use service::Service;
pub use terminal::until;

/// Everything that runs.
pub struct House {
    /// The chain.
    pub node: Bitcoind,
    /// The signers.
    pub fleet: Fleet,
    /// The people.
    pub people: People,
    /// What was decided.
    pub charter: Charter,
    /// The online system.
    pub service: Service,
    directory: PathBuf,
}

/// Starts the house; plays the tour, or stays up and does as the terminal says.
pub fn run(tour: bool, data: Option<PathBuf>, database: Option<String>, network: Network) -> Outcome {
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
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let directory = directory.canonicalize().map_err(|error| error.to_string())?;
    let choose = |config: &mut Config| {
        if let Some(database) = &database {
            config.database.clone_from(database);
        }
    };
    let mut house = House::start_with(&directory, choose, |_| {})?;
    if tour {
        return tour::play(&mut house);
    }
    house.describe();
    house.listen()
}

impl House {
    /// Starts everything in an empty directory.
    pub fn start(directory: &Path) -> Outcome<House> {
        House::start_with(directory, |_| {}, |_| {})
    }

    /// The same with another configuration of the online system, and another first charter.
    pub fn start_with(directory: &Path, change: impl Fn(&mut Config), decide: impl Fn(&mut Charter)) -> Outcome<House> {
        let node = terminal::step("bitcoind on a private chain", || {
            Bitcoind::start(&directory.join("bitcoind")).map_err(|error| error.to_string())
        })?;
        let people = terminal::step("keys of three approvers, an administrator and two customers", || {
            People::create(&directory.join("people"))
        })?;
        let enrolments =
            terminal::step("seeds of six signers, sealed; three of them have no network", || fleet::init(directory))?;
        let mut charter = charter(&people, &enrolments)?;
        let operator_listen = free_address()?;
        // Browsers take passkeys for localhost without TLS.
        let origin = format!("http://localhost:{}", operator_listen.port());
        charter.relying_party = RelyingParty { id: "localhost".to_owned(), origin };
        decide(&mut charter);
        let mut fleet = terminal::step("charter, signed by the approvers and adopted by every signer", || {
            charter.check().map_err(|error| error.to_string())?;
            let approvals = people.sign_all("claviger-charter", &charter.digest())?;
            Fleet::start(directory, enrolments, &charter, &approvals)
        })?;
        terminal::step("hot keys: two people allow it, and two others open them at each signer", || {
            fleet.activate(&charter, &people)
        })?;
        let mut config = config(directory, &node, &fleet, &people)?;
        config.operator_listen = operator_listen;
        change(&mut config);
        let service =
            terminal::step("the online system: books, pipelines, interfaces", || Service::start(directory, &config))?;
        Ok(House { node, fleet, people, charter, service, directory: directory.to_owned() })
    }

    /// Where everything is kept.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The customers' interface, as one of them sees it.
    pub fn customer(&self, name: &str) -> Outcome<Client> {
        Ok(Client::new(&format!("http://{}", self.service.customers), self.people.key(name)?))
    }

    /// The operators' interface, as one of them sees it.
    pub fn operator(&self, name: &str) -> Outcome<Client> {
        Ok(Client::new(&format!("http://{}", self.service.operators), self.people.key(name)?))
    }

    fn describe(&self) {
        println!("\ncustomers   http://{0}   documentation http://{0}/docs", self.service.customers);
        println!("operators   http://{0}   documentation http://{0}/docs", self.service.operators);
        println!("console     {}/console   (a browser on this machine)", self.charter.relying_party.origin);
        println!("data        {}", self.directory.display());
        for (name, address) in self.fleet.addresses() {
            println!("signer {name}   {address} (mutual TLS)");
        }
        for wallet in &self.charter.wallets {
            println!("wallet {:5} {}", wallet.id, wallet.descriptor);
        }
        println!("\nTry, in another terminal:");
        for (name, address, command) in [
            ("alice", self.service.customers, "account"),
            ("alice", self.service.customers, "new-address"),
            ("olga", self.service.operators, "signers"),
            ("olga", self.service.operators, "wallets"),
        ] {
            println!("  ./claviger --url http://{address} --key {} {command}", self.people.key_file(name).display());
        }
        println!("\nInto the console, each link once, to make a passkey:");
        for name in std::iter::once(ADMINISTRATOR.0).chain(self.people.operators().map(|(name, _, _)| name)) {
            match self.invite(name) {
                Ok(link) => println!("  {name:5} {link}"),
                Err(error) => println!("  {name:5} {error}"),
            }
        }
        println!(
            "Passkeys approve once the charter names them: enrol them, propose it as ada (console, Charter), then here: sign ID"
        );
        println!("\nHere: pay ADDRESS AMOUNT   coins from outside, such as 0.5, in a block with one more on top");
        println!("      mine [BLOCKS]");
        println!("      invite NAME      another link");
        println!("      sign ID          a proposal, as olga and omar with their SSH keys");
        println!("      an empty line to stop");
    }

    /// Does as the terminal says, until an empty line or the end of the input.
    fn listen(&self) -> Outcome {
        for line in std::io::stdin().lines() {
            let line = line.map_err(|error| error.to_string())?;
            let words: Vec<&str> = line.split_whitespace().collect();
            let done =
                match words.as_slice() {
                    [] => return Ok(()),
                    ["mine"] => self.mine("1"),
                    ["mine", blocks] => self.mine(blocks),
                    ["pay", address, amount] => self.pay(address, amount),
                    ["invite", name] => self.invite(name),
                    ["sign", id] => self.sign(id),
                    _ => Err("write: pay ADDRESS AMOUNT, mine BLOCKS, invite NAME, sign ID, or an empty line to stop"
                        .to_owned()),
                };
            println!("{}", done.unwrap_or_else(|error| error));
        }
        Ok(())
    }

    fn invite(&self, name: &str) -> Outcome<String> {
        let key = format!("invite-{name}-{}", crate::custody::now().micros());
        let body = serde_json::json!({"operator": name});
        let answer = self.operator(ADMINISTRATOR.0)?.post("/v1/invitations", &key, &body)?;
        Ok(answer.get("link").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned())
    }

    /// Signs a proposal as two approvers do on their own machines.
    fn sign(&self, id: &str) -> Outcome<String> {
        let mut last = serde_json::Value::Null;
        for name in ["olga", "omar"] {
            let client = self.operator(name)?;
            let shown = client.get(&format!("/v1/proposals/{id}"))?;
            let text = |field: &str| shown.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
            let namespace = if text("kind") == "charter" { "claviger-charter" } else { "claviger-approval" };
            let digest: Digest = text("digest").parse().map_err(|error| format!("{error}"))?;
            let body = serde_json::json!({"signature": self.people.sign(name, namespace, &digest)?.signature});
            last = client.post(&format!("/v1/proposals/{id}/approvals"), &format!("{name}-{id}"), &body)?;
        }
        let text = |field: &str| last.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
        Ok(format!("{} {} {}", text("state"), text("outcome"), text("missing")))
    }

    fn mine(&self, blocks: &str) -> Outcome<String> {
        let count: u32 = blocks.parse().map_err(|_| format!("{blocks} is not a number of blocks"))?;
        self.node.mine(count).map_err(|error| error.to_string())?;
        Ok(format!("{count} more"))
    }

    fn pay(&self, address: &str, amount: &str) -> Outcome<String> {
        let sats = Amount::from_decimal(amount, 8).and_then(Amount::to_sats).map_err(|error| error.to_string())?;
        let txid = self.node.pay(address, sats).map_err(|error| error.to_string())?;
        self.node.mine(2).map_err(|error| error.to_string())?;
        Ok(format!("paid in {txid}"))
    }
}

/// A port of the loopback address that is free now. The charter has to name the console's before the system starts.
fn free_address() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

fn config(directory: &Path, node: &Bitcoind, fleet: &Fleet, people: &People) -> Outcome<Config> {
    let names = people.operators().map(|(name, _, _)| name).chain([ADMINISTRATOR.0]);
    let operators =
        names.map(|name| Ok(OperatorKey { operator: name.to_owned(), key: hex::encode(people.key(name)?.public()) }));
    let signers = fleet.addresses().map(|(name, address)| SignerConfig {
        id: name.to_owned(),
        address,
        certificate: format!("signer-{name}.pem").into(),
    });
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Ok(Config {
        database: "sqlite:claviger.db".to_owned(),
        charter: "charter.json".into(),
        node: NodeConfig { url: node.client().url().to_owned(), cookie: directory.join("bitcoind/regtest/.cookie") },
        witness_nodes: vec![],
        witness_nodes_none: None,
        signers: signers.collect(),
        client_certificate: "client.pem".into(),
        client_key: "client.key".into(),
        customer_listen: loopback,
        operator_listen: loopback,
        operators: operators.collect::<Outcome<_>>()?,
        console: ConsoleConfig::default(),
        webhooks: vec![],
        webhook_key: None,
        deposits: DepositConfig {
            confirmations: vec![
                ConfirmationRule { sats_max: 100_000_000, confirmations: 2 },
                ConfirmationRule { sats_max: u64::MAX, confirmations: 3 },
            ],
            sats_min: 1_000,
            reorganization_max: 20,
        },
        withdrawals: WithdrawalConfig {
            wallet: "hot".to_owned(),
            fee_sats_max: 50_000,
            lifetime_seconds: 3_600,
            target_blocks: 6,
            fallback_rate: 5_000,
            bump_after_blocks: 6,
            settle_confirmations: 1,
            batch_max: 20,
        },
    })
}

fn charter(people: &People, enrolments: &[Enrolment]) -> Outcome<Charter> {
    let id = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    let descriptor = |cold: bool| {
        let alike = enrolments.iter().filter(|enrolment| enrolment.offline == cold);
        let keys: Vec<_> = alike.filter_map(|enrolment| enrolment.accounts.first().cloned()).collect();
        format!("wsh(sortedmulti(2,{}))", keys.join(","))
    };
    let wallet = |name: &str, class| -> Outcome<Wallet> {
        let asset = Asset::Bitcoin(Network::Regtest);
        Ok(Wallet { id: id(name)?, asset, class, descriptor: descriptor(class == WalletClass::Cold), gap_limit: 20 })
    };
    let window = |seconds, sats| Window { seconds, amount_max: Amount::from_sats(sats) };
    let tier = |name: &str, from: &str, kind, sats, windows, people, destinations| -> Outcome<Tier> {
        Ok(Tier {
            name: name.to_owned(),
            wallet: id(from)?,
            kind,
            amount_max: Amount::from_sats(sats),
            windows,
            quorum: Quorum { people, organisations: people },
            destinations,
            customer_signature: kind == PaymentKind::CustomerWithdrawal,
            device_bound: false,
            delay_seconds: 0,
            hours: None,
        })
    };
    let operator = |name: &str, organisation: &str, roles, keys| {
        Ok(Operator {
            id: name.parse().map_err(|error| format!("{name}: {error}"))?,
            name: name.to_owned(),
            organisation: organisation.to_owned(),
            roles,
            expires: None,
            review: None,
            keys,
            passkeys: vec![],
        })
    };
    let deciding = |(name, organisation, key): (&str, &str, &str)| {
        operator(name, organisation, vec![Role::Approver, Role::Requester], vec![key.to_owned()])
    };
    let administering = operator(ADMINISTRATOR.0, ADMINISTRATOR.1, vec![Role::Administrator, Role::Auditor], vec![]);
    let operators = people.operators().map(deciding).chain([administering]);
    let signers = enrolments.iter().map(|enrolment| {
        let key: Digest = enrolment.journal_key.parse().map_err(|_| "a journal key has no form".to_owned())?;
        let id = enrolment.signer.parse().map_err(|_| "a signer's name has no form".to_owned())?;
        let custodian = enrolment.custodian.parse().map_err(|_| "a custodian's name has no form".to_owned())?;
        Ok(SignerIdentity {
            offline: enrolment.offline,
            custodians: vec![custodian],
            ..SignerIdentity::online(id, *key.as_bytes())
        })
    });
    let customers = CUSTOMERS.iter().map(|name| {
        let id = name.parse().map_err(|error| format!("{name}: {error}"))?;
        Ok(Customer { id, keys: vec![people.key(name)?.public()] })
    });
    let two = Quorum { people: 2, organisations: 2 };
    Ok(Charter {
        version: 1,
        previous: None,
        network: Network::Regtest,
        operators: operators.collect::<Outcome<_>>()?,
        relying_party: RelyingParty::default(),
        customers: customers.collect::<Outcome<_>>()?,
        signers: signers.collect::<Outcome<_>>()?,
        wallets: vec![wallet("hot", WalletClass::Hot)?, wallet("cold", WalletClass::Cold)?],
        tiers: vec![
            tier(
                "automatic",
                "hot",
                PaymentKind::CustomerWithdrawal,
                5_000_000,
                vec![window(3600, 10_000_000)],
                0,
                Destinations::Any,
            )?,
            tier("quorum", "hot", PaymentKind::CustomerWithdrawal, 200_000_000, vec![], 2, Destinations::Any)?,
            tier("sweep", "hot", PaymentKind::OperatorTransfer, 500_000_000, vec![], 1, Destinations::OwnWallets)?,
            tier("refill", "cold", PaymentKind::OperatorTransfer, 500_000_000, vec![], 2, Destinations::OwnWallets)?,
        ],
        totals: vec![WalletWindow { wallet: "hot".parse().map_err(|_| "hot")?, window: window(86_400, 1_000_000_000) }],
        allow_list: vec![],
        address_book_seconds: 86_400,
        fee: FeeCaps { sats_max: 100_000, sats_per_kvb_max: 200_000 },
        charter_quorum: two,
        release_quorum: two,
        key_quorum: two,
        own_reading: 1,
        activation: ActivationCaps { seconds_max: 30 * 86_400, signatures_max: 1_000_000 },
        clock_step_seconds_max: 86_400,
        instruction_seconds_max: 86_400,
    })
}
