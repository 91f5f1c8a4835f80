//! A charter with real operators' keys, a customer, coins, and instructions over them: what every test of signers needs.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of tests: failing here is the test failing"
)]

pub mod cold;
pub mod cores;
pub mod desk;
pub mod processes;

use std::path::{Path, PathBuf};
use std::process::Command;

use bitcoin::absolute::LockTime;
use bitcoin::psbt::Psbt;
use bitcoin::transaction::Version;
use bitcoin::{Transaction, TxOut};
use chains::bitcoin::{Branch, Change, Input, Payment, WalletDescriptor, generate, parse_address};
use ed25519_dalek::{Signer as _, SigningKey};
use policy::http_signature::{Parameters, Parts, content_digest, signature_base, signature_header};
use policy::{
    ActivationCaps, Charter, Customer, Destinations, FeeCaps, Operator, PaymentKind, Quorum, RelyingParty, Role,
    SignerIdentity, Tier, Wallet, WalletClass, WalletWindow, Window, withdrawal_id,
};
use sealing::{Kek, NewSlot};
use signer::enrol::{Birth, Enrolment};
use signer::life::Actor;
use signer::seed::Seed;
use signer_wire::{Approval, Evidence, Instruction as WireInstruction};
use types::{Amount, Asset, Body, Digest, EVERY_SIGNER, Instruction, KeyStep, Moment, Network, Step, Transfer};

pub const OUTSIDE: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
pub const MALLORY: &str = "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry";

pub struct House {
    pub directory: tempfile::TempDir,
    /// The signers without a network, in directories `c1` to `c3` below the house's.
    pub cold: Vec<Enrolment>,
    pub charter: Charter,
    pub genesis: Vec<types::Approval>,
    pub customer: SigningKey,
}

/// Who signs with which key file.
pub const OPERATORS: [(&str, &str); 3] = [("olga", "north"), ("omar", "south"), ("oona", "east")];

fn keygen(directory: &Path, name: &str) -> String {
    let path = directory.join(name);
    let status =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path).status();
    assert!(status.expect("ssh-keygen is needed: install the package openssh-client").success());
    std::fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
}

impl House {
    pub fn new(enrolments: &[Enrolment], decide: impl Fn(&mut Charter)) -> House {
        let directory = tempfile::tempdir().unwrap();
        let operators = OPERATORS.map(|(name, organisation)| Operator {
            id: name.parse().unwrap(),
            name: name.to_owned(),
            organisation: organisation.to_owned(),
            roles: vec![Role::Approver, Role::Requester],
            expires: None,
            review: None,
            keys: vec![keygen(directory.path(), name), keygen(directory.path(), &format!("{name}-spare"))],
            passkeys: vec![],
        });
        let cold: Vec<_> = (1..=3)
            .map(|n| {
                let name = format!("c{n}");
                signer::enrol::create(&directory.path().join(&name), birth(&name, Moment::from_seconds(BORN))).unwrap()
            })
            .collect();
        let customer = SigningKey::from_bytes(&[42; 32]);
        let descriptor = |enrolments: &[Enrolment]| {
            // A signer with a device has its key in the wallet.
            let key =
                |one: &Enrolment| one.accounts[if one.device.is_some() { one.accounts.len() - 1 } else { 0 }].clone();
            let keys: Vec<_> = enrolments.iter().map(key).collect();
            format!("wsh(sortedmulti(2,{}))", keys.join(","))
        };
        let wallet = |id: &str, class, enrolments| Wallet {
            id: id.parse().unwrap(),
            asset: Asset::Bitcoin(Network::Regtest),
            class,
            descriptor: descriptor(enrolments),
            gap_limit: 20,
        };
        let window = |seconds, sats| Window { seconds, amount_max: Amount::from_sats(sats) };
        let tier = |name: &str, from: &str, kind, sats, windows, people, destinations| Tier {
            name: name.to_owned(),
            wallet: from.parse().unwrap(),
            kind,
            amount_max: Amount::from_sats(sats),
            windows,
            quorum: Quorum { people, organisations: people },
            destinations,
            customer_signature: kind == PaymentKind::CustomerWithdrawal,
            device_bound: false,
            delay_seconds: 0,
            hours: None,
        };
        let two = Quorum { people: 2, organisations: 2 };
        let mut charter = Charter {
            version: 1,
            previous: None,
            network: Network::Regtest,
            operators: operators.to_vec(),
            relying_party: RelyingParty::default(),
            customers: vec![Customer { id: "alice".parse().unwrap(), keys: vec![customer.verifying_key().to_bytes()] }],
            signers: enrolments
                .iter()
                .map(|one| identity(one, false))
                .chain(cold.iter().map(|one| identity(one, true)))
                .collect(),
            wallets: vec![wallet("hot", WalletClass::Hot, enrolments), wallet("cold", WalletClass::Cold, &cold)],
            tiers: vec![
                tier(
                    "automatic",
                    "hot",
                    PaymentKind::CustomerWithdrawal,
                    100_000,
                    vec![window(3600, 250_000)],
                    0,
                    Destinations::Any,
                ),
                tier("quorum", "hot", PaymentKind::CustomerWithdrawal, 50_000_000, vec![], 2, Destinations::Any),
                tier("sweep", "hot", PaymentKind::OperatorTransfer, 90_000_000, vec![], 1, Destinations::OwnWallets),
                tier("refill", "cold", PaymentKind::OperatorTransfer, 90_000_000, vec![], 2, Destinations::OwnWallets),
            ],
            totals: vec![WalletWindow { wallet: "hot".parse().unwrap(), window: window(86_400, 200_000_000) }],
            allow_list: vec![],
            address_book_seconds: 86_400,
            fee: FeeCaps { sats_max: 50_000, sats_per_kvb_max: 200_000 },
            charter_quorum: two,
            release_quorum: two,
            key_quorum: two,
            own_reading: 1,
            activation: ActivationCaps { seconds_max: 1_000_000_000, signatures_max: 1_000_000 },
            clock_step_seconds_max: 7200,
            instruction_seconds_max: 86_400,
        };
        decide(&mut charter);
        let mut house = House { directory, cold, charter, genesis: vec![], customer };
        let digest = house.charter.digest();
        house.genesis = ["olga", "omar"].map(|name| house.ssh(name, name, "claviger-charter", &digest)).to_vec();
        house
    }

    /// `operator`'s claim, signed by stock ssh-keygen with the key file `key`.
    pub fn ssh(&self, operator: &str, key: &str, namespace: &str, digest: &Digest) -> types::Approval {
        let file = self.directory.path().join(format!("{digest}-{namespace}-{key}"));
        let armoured = PathBuf::from(format!("{}.sig", file.display()));
        if !armoured.exists() {
            std::fs::write(&file, format!("{digest}\n")).unwrap();
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(self.directory.path().join(key)).arg(&file);
            assert!(command.status().unwrap().success());
        }
        types::Approval { operator: operator.parse().unwrap(), signature: std::fs::read_to_string(armoured).unwrap() }
    }

    pub fn approve(&self, operator: &str, instruction: &Instruction) -> Approval {
        self.approve_with(operator, operator, instruction)
    }

    pub fn approve_with(&self, operator: &str, key: &str, instruction: &Instruction) -> Approval {
        let approval = self.ssh(operator, key, "claviger-approval", &instruction.digest());
        Approval { operator: approval.operator.to_string(), signature: approval.signature }
    }

    pub fn wallet(&self, id: &str) -> WalletDescriptor {
        let wallet = self.charter.wallet(&id.parse().unwrap()).unwrap();
        WalletDescriptor::parse(&wallet.descriptor, Network::Regtest).unwrap()
    }

    /// Two people of two organisations let the keys of a wallet be opened at every signer, for a time and a number of signatures.
    pub fn activation(&self, wallet: &str, seconds: u64, signatures: u64, now: Moment) -> WireInstruction {
        let step = KeyStep {
            requester: "oona".parse().unwrap(),
            signer: EVERY_SIGNER.parse().unwrap(),
            step: Step::Activate,
            wallet: Some(wallet.parse().unwrap()),
            seconds,
            signatures,
            reason: "the day's work".to_owned(),
        };
        self.key_step(step, now)
    }

    /// A latch is opened, with its quorum's approvals.
    pub fn unfreeze(&self, signer: &str, latch: &str, now: Moment) -> WireInstruction {
        let body = Body::Unfreeze(types::Freeze {
            requester: "oona".parse().unwrap(),
            signer: signer.parse().unwrap(),
            latch: latch.to_owned(),
            reason: "it is over".to_owned(),
        });
        self.agreed(&format!("un-{}", now.seconds()), body, now)
    }

    fn agreed(&self, id: &str, body: Body, now: Moment) -> WireInstruction {
        let created = now.whole_seconds();
        let instruction = Instruction {
            id: id.parse().unwrap(),
            created,
            expires: created.plus_seconds(3600),
            charter: self.charter.version,
            body,
        };
        let approvals = ["olga", "omar"].map(|name| self.approve(name, &instruction)).to_vec();
        wire(&instruction, Evidence { customer_request: None, approvals })
    }

    /// A step of a key's life with its quorum's approvals.
    pub fn key_step(&self, step: KeyStep, now: Moment) -> WireInstruction {
        self.agreed(&format!("ks-{}-{}", step.step, now.seconds()), Body::KeyStep(step), now)
    }

    /// A withdrawal that alice asked for with her own key, under an idempotency key.
    pub fn withdrawal(&self, key: &str, sats: u64, now: Moment) -> (Instruction, WireInstruction) {
        self.lasting_withdrawal(key, sats, 3600, now)
    }

    /// One that lives for so many seconds.
    pub fn lasting_withdrawal(
        &self,
        key: &str,
        sats: u64,
        seconds: i64,
        now: Moment,
    ) -> (Instruction, WireInstruction) {
        let created = now.whole_seconds();
        let instruction = Instruction {
            id: withdrawal_id(&"alice".parse().unwrap(), key).unwrap(),
            created,
            expires: created.plus_seconds(seconds),
            charter: self.charter.version,
            body: Body::CustomerWithdrawal(types::Payment {
                customer: "alice".parse().unwrap(),
                asset: Asset::Bitcoin(Network::Regtest),
                wallet: "hot".parse().unwrap(),
                destination: OUTSIDE.to_owned(),
                amount: Amount::from_sats(sats),
                fee_max: Amount::from_sats(20_000),
            }),
        };
        let body = format!(
            r#"{{"asset":"{}","destination":"{OUTSIDE}","amount":"{sats}"}}"#,
            Asset::Bitcoin(Network::Regtest)
        );
        let parameters = Parameters {
            created: created.plus_seconds(-5),
            expires: created.plus_seconds(295),
            key_id: "alice-1".to_owned(),
            nonce: format!("n-{key}"),
        };
        let digest = content_digest(body.as_bytes());
        let parts = Parts { method: "POST", path: "/v1/withdrawals", content_digest: &digest, idempotency_key: key };
        let base = signature_base(&parts, &parameters).unwrap();
        let customer = signer_wire::Customer {
            method: "POST".to_owned(),
            path: "/v1/withdrawals".to_owned(),
            idempotency_key: key.to_owned(),
            content_digest: digest.clone(),
            signature_input: parameters.header(),
            signature: signature_header(&self.customer.sign(base.as_bytes()).to_bytes()),
            body,
        };
        let evidence = Evidence { customer_request: Some(customer), approvals: vec![] };
        let wire = wire(&instruction, evidence);
        (instruction, wire)
    }

    /// A transfer from the hot to the cold wallet.
    pub fn transfer(&self, id: &str, requester: &str, sats: u64, now: Moment) -> Instruction {
        let created = now.whole_seconds();
        Instruction {
            id: id.parse().unwrap(),
            created,
            expires: created.plus_seconds(3600),
            charter: self.charter.version,
            body: Body::OperatorTransfer(Transfer {
                requester: requester.parse().unwrap(),
                asset: Asset::Bitcoin(Network::Regtest),
                wallet: "hot".parse().unwrap(),
                destination_wallet: "cold".parse().unwrap(),
                destination_index: 0,
                destination: self.wallet("cold").derive(Branch::Receive, 0).unwrap().address,
                amount: Amount::from_sats(sats),
                fee_max: Amount::from_sats(20_000),
            }),
        }
    }

    /// A coin of the hot wallet; `salt` makes it another one.
    pub fn coin(&self, index: u32, sats: u64, salt: u32) -> Input {
        let script_pubkey = self.wallet("hot").derive(Branch::Receive, index).unwrap().script_pubkey;
        let output = vec![TxOut { value: bitcoin::Amount::from_sat(sats), script_pubkey }];
        let previous =
            Transaction { version: Version::TWO, lock_time: LockTime::from_consensus(salt), input: vec![], output };
        Input { previous, vout: 0, branch: Branch::Receive, index }
    }

    /// Pays `instructions` from `coins`, the rest less `fee` to change.
    pub fn psbt(&self, coins: &[Input], instructions: &[&Instruction], fee: u64) -> Psbt {
        let payments: Vec<_> = instructions
            .iter()
            .map(|instruction| Payment {
                script: parse_address(instruction.destination().unwrap(), Network::Regtest).unwrap(),
                sats: instruction.amount().unwrap().to_sats().unwrap(),
            })
            .collect();
        let sats_in: u64 = coins.iter().map(|coin| coin.previous.output[coin.vout as usize].value.to_sat()).sum();
        let sats = sats_in - payments.iter().map(|payment| payment.sats).sum::<u64>() - fee;
        generate(&self.wallet("hot"), coins, &payments, Some(Change { index: 1, sats }), 1, 100).unwrap()
    }
}

/// When the signers of a test are made.
pub const BORN: i64 = 1_700_000_000;

/// Who holds what opens the signers' keys, with what they put together.
pub const HOLDER: &str = "kim";
pub const SLOT: &str = "desk";

pub fn kek() -> Kek {
    Kek::from_bytes(&[7; 32])
}

/// Name of the set of kim's and kit's shares of it, and their words.
pub fn opening() -> &'static (String, [String; 2]) {
    static OPENING: std::sync::OnceLock<(String, [String; 2])> = std::sync::OnceLock::new();
    OPENING.get_or_init(|| {
        let mut random = |bytes: &mut [u8]| signer::vault::random(bytes).map_err(|_| shares::RandomError);
        let split = shares::split_one_group(kek().expose(), b"", 0, true, 2, 2, &mut random).unwrap();
        (split[0].identifier().to_string(), [0, 1].map(|place: usize| split[place].to_words().to_string()))
    })
}

/// A signer that is about to be, with a seed of its own.
pub fn birth(id: &str, now: Moment) -> Birth {
    let mut bytes = [0; 32];
    signer::vault::random(&mut bytes).unwrap();
    let holders = std::collections::BTreeSet::from([HOLDER.parse().unwrap(), "kit".parse().unwrap()]);
    let slots =
        || vec![NewSlot::shares(SLOT.parse().unwrap(), holders.clone(), opening().0.clone(), 2, kek()).unwrap()];
    Birth {
        id: id.parse().unwrap(),
        network: Network::Regtest,
        accounts: 2,
        device: None,
        seed: Seed::from_bytes(&bytes, Network::Regtest).unwrap(),
        seed_slots: slots(),
        account_slots: slots(),
        by: Actor { person: "carl".to_owned(), terminal: "tty1".to_owned(), cause: "set up".to_owned() },
        now,
        ceremony: None,
    }
}

fn identity(enrolment: &Enrolment, offline: bool) -> SignerIdentity {
    let journal_key = *enrolment.journal_key.parse::<Digest>().unwrap().as_bytes();
    let custodians = vec![format!("custodian-of-{}", enrolment.signer).parse().unwrap()];
    SignerIdentity { offline, custodians, ..SignerIdentity::online(enrolment.signer.parse().unwrap(), journal_key) }
}

pub fn wire(instruction: &Instruction, evidence: Evidence) -> WireInstruction {
    WireInstruction { canonical: String::from_utf8(instruction.canonical()).unwrap(), evidence }
}

pub fn hex_of(psbt: &Psbt) -> String {
    hex::encode(psbt.serialize())
}
