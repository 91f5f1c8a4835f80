//! The real program, on files, as an approver uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, failing here is the test failing")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use audit_log::{Draft, GENESIS, chain, to_line};
use bitcoin::absolute::LockTime;
use bitcoin::bip32::{DerivationPath, Xpriv, Xpub};
use bitcoin::secp256k1::Secp256k1;
use bitcoin::transaction::Version;
use bitcoin::{NetworkKind, Transaction, TxOut};
use chains::bitcoin::{Branch, Change, Input, Payment, WalletDescriptor, generate, parse_address};
use policy::{
    ActivationCaps, Charter, Destinations, FeeCaps, Operator, PaymentKind, Quorum, RelyingParty, Role, SignerIdentity,
    Tier, Wallet, WalletClass,
};
use types::{Amount, Asset, Body, Instruction, Moment, Network};

/// The public key of the first test vector of RFC 8032, section 7.1.
const JOURNAL_KEY: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72,
    0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];
/// Security keys of SSH, with the public keys of the next two vectors.
const SECURITY_KEYS: [&str; 2] = [
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAID1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYMAAAABHNzaDo=",
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIPxRzY5iGKGjjaR+0AIw8FgIFu0TujMDrF3rkRVIkIAlAAAABHNzaDo=",
];
const OUTSIDE: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

struct Desk {
    directory: tempfile::TempDir,
    wallet: WalletDescriptor,
    instruction: Instruction,
}

impl Desk {
    fn new() -> Desk {
        let directory = tempfile::tempdir().unwrap();
        let text = descriptor();
        let wallet = WalletDescriptor::parse(&text, Network::Regtest).unwrap();
        let operators = [("olga", "north"), ("omar", "south")].map(|(id, organisation)| Operator {
            id: id.parse().unwrap(),
            name: format!("Operator {id}"),
            organisation: organisation.to_owned(),
            roles: vec![Role::Approver, Role::Requester],
            expires: None,
            review: None,
            keys: vec![keygen(directory.path(), id)],
            passkeys: vec![],
        });
        let two = Quorum { people: 2, organisations: 2 };
        let charter = Charter {
            version: 1,
            previous: None,
            network: Network::Regtest,
            operators: operators.to_vec(),
            relying_party: RelyingParty::default(),
            customers: vec![],
            signers: vec![SignerIdentity::online("s1".parse().unwrap(), JOURNAL_KEY)],
            wallets: vec![Wallet {
                id: "hot".parse().unwrap(),
                asset: Asset::Bitcoin(Network::Regtest),
                class: WalletClass::Hot,
                descriptor: text,
                gap_limit: 20,
            }],
            tiers: vec![Tier {
                name: "quorum".to_owned(),
                wallet: "hot".parse().unwrap(),
                kind: PaymentKind::CustomerWithdrawal,
                amount_max: Amount::from_sats(1_000_000),
                windows: vec![],
                quorum: two,
                destinations: Destinations::Any,
                customer_signature: true,
                device_bound: false,
                delay_seconds: 0,
                hours: None,
            }],
            totals: vec![],
            allow_list: vec![],
            address_book_seconds: 86_400,
            fee: FeeCaps { sats_max: 10_000, sats_per_kvb_max: 100_000 },
            charter_quorum: two,
            release_quorum: two,
            key_quorum: two,
            own_reading: 1,
            activation: ActivationCaps { seconds_max: 86_400, signatures_max: 1_000 },
            clock_step_seconds_max: 3600,
            instruction_seconds_max: 86_400,
        };
        let instruction = Instruction {
            id: "wd-1".parse().unwrap(),
            created: "2026-01-01T00:00:00Z".parse().unwrap(),
            expires: "2026-01-01T01:00:00Z".parse().unwrap(),
            charter: 1,
            body: Body::CustomerWithdrawal(types::Payment {
                customer: "alice".parse().unwrap(),
                asset: Asset::Bitcoin(Network::Regtest),
                wallet: "hot".parse().unwrap(),
                destination: OUTSIDE.to_owned(),
                amount: Amount::from_sats(150_000),
                fee_max: Amount::from_sats(2_000),
            }),
        };
        let desk = Desk { directory, wallet, instruction };
        desk.write("charter.json", &charter.to_bytes());
        desk.write("instruction.json", &desk.instruction.canonical());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Runs the program in the desk's directory; code and text.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output: Output = Command::new(env!("CARGO_BIN_EXE_claviger-verify"))
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// What stock ssh-keygen makes of the text that the program wrote.
    fn sign(&self, operator: &str) -> String {
        let text = self.path(&format!("{operator}.txt"));
        std::fs::copy(self.path("text"), &text).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", "claviger-approval", "-f"]).arg(self.path(operator)).arg(text);
        assert!(command.status().unwrap().success());
        format!("{operator}={operator}.txt.sig")
    }

    fn psbt(&self, sats: u64, fee: u64) -> String {
        let script_pubkey = self.wallet.derive(Branch::Receive, 3).unwrap().script_pubkey;
        let output = vec![TxOut { value: bitcoin::Amount::from_sat(500_000), script_pubkey }];
        let previous = Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![], output };
        let inputs = [Input { previous, vout: 0, branch: Branch::Receive, index: 3 }];
        let payments = [Payment { script: parse_address(OUTSIDE, Network::Regtest).unwrap(), sats }];
        let change = Some(Change { index: 2, sats: 500_000 - sats - fee });
        hex::encode(generate(&self.wallet, &inputs, &payments, change, 0, 100).unwrap().serialize())
    }
}

fn descriptor() -> String {
    let secp = Secp256k1::new();
    let path: DerivationPath = "m/48'/1'/0'/2'".parse().unwrap();
    let key = |seed: u8| {
        let master = Xpriv::new_master(NetworkKind::Test, &[seed; 32]).unwrap();
        let account = master.derive_priv(&secp, &path).unwrap();
        format!("[{}/48'/1'/0'/2']{}/<0;1>/*", master.fingerprint(&secp), Xpub::from_priv(&secp, &account))
    };
    format!("wsh(sortedmulti(2,{},{},{}))", key(1), key(2), key(3))
}

fn keygen(directory: &Path, name: &str) -> String {
    let path = directory.join(name);
    let status =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path).status();
    assert!(status.expect("ssh-keygen is needed: install the package openssh-client").success());
    std::fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
}

#[test]
fn an_approver_reads_signs_and_counts() {
    let desk = Desk::new();
    let (code, text) = desk.run(&["instruction", "instruction.json", "--text-to-sign", "text"]);
    assert_eq!(code, Some(0), "{text}");
    for part in [
        "Pay 0.00150000 test BTC for customer alice",
        "bcrt 1qw5 08d6",
        "words",
        "ssh-keygen -Y sign -n claviger-approval",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains(&types::words(&desk.instruction.digest()).join(" ")));
    let (olga, omar) = (desk.sign("olga"), desk.sign("omar"));
    let count = |approvals: &[&str]| {
        let mut arguments = vec!["approvals", "--charter", "charter.json", "--instruction", "instruction.json"];
        approvals.iter().for_each(|approval| arguments.extend(["--approval", approval]));
        desk.run(&arguments)
    };
    let (code, text) = count(&[&olga, &omar]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("tier quorum") && text.contains("olga (Operator olga)") && text.ends_with("holds\n"),
        "{text}"
    );
    assert_eq!(count(&[&olga]).0, Some(1));
    // A charter that asks for keys which cannot leave their device: these can, and it says so.
    let charter = policy::Charter::from_bytes(&std::fs::read(desk.directory.path().join("charter.json")).unwrap());
    let mut asks = charter.clone().unwrap();
    asks.tiers[0].device_bound = true;
    for (operator, line) in asks.operators.iter_mut().zip(SECURITY_KEYS) {
        operator.keys.push(line.to_owned());
    }
    desk.write("charter.json", &asks.to_bytes());
    let (code, text) = count(&[&olga, &omar]);
    for part in [
        "olga (Operator olga), with a key that can leave its device",
        "not met: needs 2 people of 2",
        "keys that cannot leave",
    ] {
        assert!(code == Some(1) && text.contains(part), "{part} in {text}");
    }
    let (_, text) = desk.run(&["charter", "charter.json"]);
    assert!(text.contains("2 people of 2 organisations, with keys that cannot leave their device"), "{text}");
    desk.write("charter.json", &charter.unwrap().to_bytes());
    let (code, text) = count(&[&olga, &omar, &olga]);
    assert_eq!((code, text.contains("counted already")), (Some(1), true), "{text}");
    desk.write("instruction.json", &{
        let mut edited = desk.instruction.clone();
        edited.id = "wd-2".parse().unwrap();
        edited.canonical()
    });
    let (code, text) = count(&[&olga, &omar]);
    assert_eq!((code, text.contains("not over this instruction")), (Some(1), true), "{text}");
}

#[test]
fn t02_a_transaction_that_does_something_else_is_shown_to_an_approver() {
    let desk = Desk::new();
    let check = |psbt: String| {
        desk.write("psbt", psbt.as_bytes());
        desk.run(&["transaction", "--charter", "charter.json", "--psbt", "psbt", "--instruction", "instruction.json"])
    };
    let (code, text) = check(desk.psbt(150_000, 1_000));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("349000 sat to our change address 2"), "{text}");
    let (code, text) = check(desk.psbt(150_001, 1_000));
    assert_eq!((code, text.contains("foreign-output")), (Some(1), true), "{text}");
    let (code, text) = check(desk.psbt(150_000, 3_000));
    assert_eq!((code, text.contains("more than wd-1 allows")), (Some(1), true), "{text}");
    let (code, text) = check(desk.psbt(150_000, 20_000));
    assert_eq!((code, text.contains("fee-cap")), (Some(1), true), "{text}");
    let (code, text) = check("zz".to_owned());
    assert_eq!((code, text.contains("psbt")), (Some(1), true), "{text}");
}

#[test]
fn a_decision_is_read_again_with_the_addresss_history() {
    let desk = Desk::new();
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let at = |before: i64| Moment::from_seconds(i64::try_from(seconds).unwrap() - before);
    let instruction = Instruction { created: at(60), expires: at(-3_000), ..desk.instruction.clone() };
    desk.write("instruction.json", &instruction.canonical());
    let (_, text) = desk.run(&["instruction", "instruction.json", "--text-to-sign", "text"]);
    assert!(text.contains("holds"), "{text}");
    let olga = desk.sign("olga");
    // One payment to this address was settled, one was asked for and ended; others are to other addresses.
    let entry = |before, action: &str, subject: &str, detail: String| Draft {
        at: at(before),
        actor: "system".to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail,
    };
    let asked = |id: &str| types::sentence(&Instruction { id: id.parse().unwrap(), ..desk.instruction.clone() });
    let elsewhere = asked("wd-c").replace("1qw5", "1qqq");
    let entries = chain(
        0,
        GENESIS,
        [
            entry(9_000, "payment.requested", "wd-a", asked("wd-a")),
            entry(8_000, "payment.settled", "wd-a", String::new()),
            entry(7_000, "payment.requested", "wd-b", asked("wd-b")),
            entry(6_000, "payment.cancelled", "wd-b", String::new()),
            entry(5_000, "payment.requested", "wd-c", elsewhere),
            entry(4_000, "payment.settled", "wd-c", String::new()),
        ],
    );
    let log = entries.iter().map(|entry| to_line(entry) + "\n").collect::<String>();
    desk.write("audit.jsonl", log.as_bytes());
    desk.write("psbt", desk.psbt(150_000, 1_000).as_bytes());
    let decide = |more: &[&str]| {
        let first = ["decision", "--charter", "charter.json", "--instruction", "instruction.json"];
        desk.run(&[&first, more].concat())
    };
    let head = entries.last().unwrap().hash.to_string();
    let all = ["--approval", olga.as_str(), "--audit", "audit.jsonl", "--head", head.as_str(), "--psbt", "psbt"];
    let (code, text) = decide(&all);
    assert_eq!(code, Some(0), "{text}");
    for part in [
        "Pay 0.00150000 test BTC for customer alice",
        &types::words(&instruction.digest()).join(" "),
        &format!("paid 1 times before, first at {}", at(8_000)),
        "2000 base units",
        "olga, with a key that can leave its device",
        "counted are 1 of 1: needs 1 more from south",
        "349000 sat to our change address 2",
        "fee",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(decide(&[]).1.contains("give --audit"));
    // A log that was cut or written anew, a transaction that does something else, an approval by nobody.
    let (code, text) = decide(&["--audit", "audit.jsonl", "--head", &"0".repeat(64)]);
    assert_eq!((code, text.contains("cut, or written anew")), (Some(1), true), "{text}");
    desk.write("audit.jsonl", log.replacen("payment.settled", "payment.cancelle", 1).as_bytes());
    let (code, text) = decide(&["--audit", "audit.jsonl"]);
    assert_eq!((code, text.contains("entry 2 was changed")), (Some(1), true), "{text}");
    desk.write("psbt", desk.psbt(150_001, 1_000).as_bytes());
    let (code, text) = decide(&["--psbt", "psbt"]);
    assert_eq!((code, text.contains("foreign-output")), (Some(1), true), "{text}");
    let nobody = olga.replacen("olga", "omar", 1);
    let (code, text) = decide(&["--approval", &nobody]);
    assert_eq!((code, text.contains("the approval of omar does not count")), (Some(1), true), "{text}");
    // What the charter refuses is refused here too.
    desk.write("instruction.json", &desk.instruction.canonical());
    let (code, text) = decide(&[]);
    assert_eq!((code, text.contains("(expired)")), (Some(1), true), "{text}");
}

#[test]
fn addresses_are_derived_again() {
    let desk = Desk::new();
    let address = desk.wallet.derive(Branch::Receive, 7).unwrap().address;
    let check = |index: &str, address: &str| {
        desk.run(&["--json", "address", "--charter", "charter.json", "--wallet", "hot", "--index", index, address])
    };
    let (code, text) = check("7", &address);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, report.get("holds")), (Some(0), Some(&true.into())), "{text}");
    assert_eq!(check("8", &address).0, Some(1));
    let (code, text) = check("7", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4");
    assert_eq!((code, text.contains("regtest")), (Some(1), true), "{text}");
}

#[test]
fn bad_files_are_named() {
    let desk = Desk::new();
    let (code, text) = desk.run(&["instruction", "nothing.json"]);
    assert_eq!((code, text.contains("nothing.json")), (Some(1), true), "{text}");
    desk.write("spaced.json", b"{ }");
    let (code, text) = desk.run(&["instruction", "spaced.json"]);
    assert_eq!((code, text.contains("canonical")), (Some(1), true), "{text}");
    assert_eq!(desk.run(&["instruction"]).0, Some(2));
}

#[test]
fn bitcoin_core_watches_by_the_descriptors_and_yields_our_addresses() {
    let desk = Desk::new();
    let (code, text) = desk.run(&["descriptors", "--charter", "charter.json"]);
    assert_eq!(code, Some(0), "{text}");
    for branch in [Branch::Receive, Branch::Change] {
        let single = desk.wallet.single(branch);
        assert!(text.contains(&single) && single.contains(&format!("/{}/*", branch.number())), "{single} in {text}");
        assert!(!single.contains("<0;1>") && !single.contains("prv"), "{single}");
    }
    assert_eq!(desk.run(&["descriptors", "--charter", "charter.json", "--import", "cold"]).0, Some(1));
    let (code, import) = desk.run(&["descriptors", "--charter", "charter.json", "--import", "hot"]);
    assert_eq!(code, Some(0));
    let import: serde_json::Value = serde_json::from_str(&import).unwrap();

    let node = node::regtest::Bitcoind::start(&desk.path("bitcoind")).unwrap();
    let client = node.client();
    // Without private keys, blank.
    client.call("createwallet", serde_json::json!(["watch", true, true])).unwrap();
    let imported = client.call_wallet("watch", "importdescriptors", serde_json::json!([import])).unwrap();
    let good = |one: &serde_json::Value| one.get("success") == Some(&true.into());
    assert!(imported.as_array().is_some_and(|all| all.len() == 2 && all.iter().all(good)), "{imported}");
    let asked = [
        ("getnewaddress", serde_json::json!(["", "bech32"]), Branch::Receive),
        ("getrawchangeaddress", serde_json::json!(["bech32"]), Branch::Change),
    ];
    for (method, parameters, branch) in asked {
        for index in 0..3 {
            let address = client.call_wallet("watch", method, parameters.clone()).unwrap();
            assert_eq!(address, desk.wallet.derive(branch, index).unwrap().address.as_str(), "{method} {index}");
        }
    }
    // It sees what is paid to us.
    let own = desk.wallet.derive(Branch::Receive, 1).unwrap().address;
    node.pay(&own, 123_456).unwrap();
    node.mine(1).unwrap();
    let received = client.call_wallet("watch", "getreceivedbyaddress", serde_json::json!([own])).unwrap();
    assert_eq!(received.as_f64(), Some(0.001_234_56));
}
