//! The command line as people and programs use it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Town, text};
use serde_json::Value;

/// Runs the program as somebody; whether it ended well, and what it said.
fn run(town: &Town, who: &str, arguments: &[&str]) -> (bool, String) {
    let address =
        if ["olga", "omar"].contains(&who) { town.house.service.operators } else { town.house.service.customers };
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(["--url", &format!("http://{address}"), "--key"]).arg(town.house.people.key_file(who)).args(arguments);
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn good(town: &Town, who: &str, arguments: &[&str]) -> String {
    let (done, words) = run(town, who, arguments);
    assert!(done, "{arguments:?}: {words}");
    words
}

fn field(town: &Town, who: &str, arguments: &[&str], path: &str) -> String {
    let words = good(town, who, &[&["--json"], arguments].concat());
    text(&serde_json::from_str::<Value>(&words).unwrap(), path)
}

#[test]
fn everything_can_be_done_from_the_command_line() {
    let town = Town::with_coins();
    assert!(good(&town, "alice", &["assets"]).contains("test BTC"));
    assert_eq!(
        good(&town, "alice", &["account"]).lines().collect::<Vec<_>>(),
        [
            "ACCOUNT          AVAILABLE        HELD     CREDITS      DEBITS",
            "customer:alice  3.00000000  0.00000000  3.00000000  0.00000000"
        ]
    );
    let first = field(&town, "alice", &["new-address", "--label", "till", "--idempotency-key", "a"], "/address");
    assert_eq!(field(&town, "alice", &["new-address", "--label", "till", "--idempotency-key", "a"], "/address"), first);
    assert!(good(&town, "alice", &["addresses"]).contains(&first));
    // A page at a time.
    let page = good(&town, "alice", &["addresses", "--limit", "1"]);
    let after = page.lines().find_map(|line| line.strip_prefix("more: --after ")).unwrap().to_owned();
    assert!(!good(&town, "alice", &["addresses", "--limit", "1", "--after", &after]).contains(&first));
    assert!(good(&town, "alice", &["deposits"]).contains("credited"));

    // A withdrawal that people approve, with stock SSH keys.
    let destination = town.outside();
    let (done, words) = run(&town, "alice", &["withdraw", &destination, "0.123456789"]);
    assert!(!done && words.contains("more decimals"), "{words}");
    let (done, words) = run(&town, "alice", &["withdraw", &destination, "4"]);
    assert!(!done && words.contains("tier quorum: 4.00000000 test BTC is more than"), "{words}");
    let id = field(&town, "alice", &["withdraw", &destination, "0.6"], "/id");
    town.reaches(&id, "awaiting-approval");
    let saved = town.house.directory().join("saved.json");
    let shown = good(&town, "olga", &["payment", &id, "--save", saved.to_str().unwrap()]);
    assert!(
        shown.contains("Pay 0.60000000 test BTC for customer alice") && shown.contains("needs 2 people"),
        "{shown}"
    );
    assert!(saved.is_file());
    for who in ["olga", "omar"] {
        let key = town.house.directory().join("people").join(who);
        let words = good(&town, who, &["approve", &id, "--ssh-key", key.to_str().unwrap()]);
        assert!(words.contains("Pay 0.60000000 test BTC"), "{words}");
    }
    town.reaches(&id, "broadcast");
    let txid = field(&town, "olga", &["payment", &id], "/payment/txid");
    good(&town, "olga", &["bump", &txid]);
    town.house.node.mine(1).unwrap();
    town.reaches(&id, "settled");
    assert!(good(&town, "alice", &["withdrawal", &id]).contains("settled"));
    assert!(good(&town, "alice", &["withdrawals"]).contains(&id));
    assert!(good(&town, "omar", &["withdrawals"]).contains(&id));
    let (done, words) = run(&town, "alice", &["cancel-withdrawal", &id]);
    assert!(!done && words.contains("too-late"), "{words}");

    // A transfer that is taken back, and one that is not asked for well.
    let id = field(&town, "olga", &["transfer", "hot", "cold", "1.0"], "/id");
    assert!(good(&town, "olga", &["transfers"]).contains(&id));
    assert!(good(&town, "omar", &["cancel-payment", &id]).contains("cancelled"));
    let (done, words) = run(&town, "olga", &["transfer", "hot", "lukewarm", "1.0"]);
    assert!(!done && words.contains("unknown-wallet"), "{words}");

    town.until_no_alarm("broadcast");
    for (arguments, part) in [
        (&["accounts"][..], "house:float"),
        (&["float-address"], "bcrt"),
        (&["wallets"], "cold"),
        (&["reconcile"], "CHAIN"),
        (&["signers"], "limits at one signer"),
        (&["charter"], "\"instruction_seconds_max\""),
        (&["alarms"], "nothing here yet"),
        (&["events", "--limit", "3"], "deposit.credited"),
        (&["ready"], "s1, s2, s3"),
    ] {
        let words = good(&town, "olga", arguments);
        assert!(words.contains(part), "{arguments:?}: {words}");
    }
    second_look(&town, &destination);
    audit(&town);
    let (done, words) = run(&town, "alice", &["accounts"]);
    assert!(!done && words.contains("not-found"), "{words}");
    let nobody = Command::new(env!("CARGO_BIN_EXE_claviger")).args(["--key", "/nowhere", "account"]).output().unwrap();
    assert!(!nobody.status.success() && String::from_utf8(nobody.stderr).unwrap().contains("/nowhere"));
}

/// What an approver's own machine says about a payment to an address that was paid before, from files that the commands wrote.
fn second_look(town: &Town, destination: &str) {
    let file = |name: &str| town.house.directory().join(name).to_str().unwrap().to_owned();
    let id = field(town, "alice", &["withdraw", destination, "0.6"], "/id");
    town.reaches(&id, "awaiting-approval");
    let (instruction, charter, log) = (file("second.json"), file("second-charter.json"), file("second.jsonl"));
    let page = good(town, "olga", &["payment", &id, "--save", &instruction]);
    std::fs::write(&charter, town.house.charter.to_bytes()).unwrap();
    good(town, "olga", &["audit", "--out", &log]);
    let verify = Path::new(env!("CARGO_BIN_EXE_claviger")).with_file_name("claviger-verify");
    let output = Command::new(verify)
        .args(["decision", "--charter", &charter, "--instruction", &instruction, "--audit", &log])
        .output()
        .expect("claviger-verify is needed: run cargo build --workspace --bins");
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{words}");
    // The same words on both screens, and the history from the log alone.
    let six =
        types::words(&types::Instruction::from_canonical(&std::fs::read(&instruction).unwrap()).unwrap().digest());
    let missing = "needs 2 more from Eastfund or Northbank or Southtrust";
    for screen in [&page, &words] {
        assert!(screen.contains(&six.join(" ")) && screen.contains(missing), "{screen}");
    }
    assert!(words.contains("paid 1 times before"), "{words}");
    good(town, "omar", &["cancel-payment", &id]);
}

/// The export that the command writes is what the auditor's own program checks.
fn audit(town: &Town) {
    let export = town.house.directory().join("audit.jsonl");
    good(town, "olga", &["audit", "--out", export.to_str().unwrap()]);
    let verify = Path::new(env!("CARGO_BIN_EXE_claviger")).with_file_name("claviger-verify");
    let check = |arguments: &[&str]| {
        let output = Command::new(&verify).arg("audit").arg(&export).args(arguments).output();
        let output = output.expect("claviger-verify is needed: run cargo build --workspace --bins");
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (done, words) = check(&[]);
    assert!(done, "{words}");
    let head = words.lines().find_map(|line| line.strip_prefix("its hash")).unwrap().trim().to_owned();
    assert!(check(&["--head", &head]).0);
    assert!(!check(&["--head", &"0".repeat(64)]).0);
    let log = std::fs::read_to_string(&export).unwrap();
    std::fs::write(&export, log.replacen("customer:alice", "customer:alicf", 1)).unwrap();
    let line = log.lines().position(|line| line.contains("customer:alice")).unwrap() + 1;
    let (done, words) = check(&[]);
    assert!(!done && words.contains(&format!("entry {line} was changed")), "{words}");
}

#[test]
fn keys_and_completions_need_no_server() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new.key");
    let claviger = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_claviger")).args(arguments).output().unwrap();
    let made = claviger(&["key", "new", file.to_str().unwrap()]);
    assert!(made.status.success());
    assert_eq!(made.stdout, claviger(&["key", "show", file.to_str().unwrap()]).stdout);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // A key is never written over.
    assert!(!claviger(&["key", "new", file.to_str().unwrap()]).status.success());
    for shell in ["bash", "zsh", "fish"] {
        assert!(String::from_utf8(claviger(&["completions", shell]).stdout).unwrap().contains("withdraw"));
    }
}

#[test]
fn documentation_and_health_are_there_for_everyone_and_figures_for_operators() {
    let town = Town::start();
    town.until_ready(true);
    for address in [town.house.service.customers, town.house.service.operators] {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let get = |path: &str| {
            let mut response = agent.get(format!("http://{address}{path}")).call().unwrap();
            let headers = format!("{:?}", response.headers());
            (headers, response.body_mut().read_to_string().unwrap())
        };
        let (_, document) = get("/openapi.json");
        let document: Value = serde_json::from_str(&document).unwrap();
        assert!(text(&document, "/openapi").starts_with("3."));
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.contains_key("/v1/deposits"));
        let (headers, page) = get("/docs");
        // Every path of the document can be read on the page, which runs no script.
        assert!(paths.keys().all(|path| page.contains(path.as_str())) && !page.contains("<script"));
        assert!(headers.contains("content-security-policy") && headers.contains("x-request-id"), "{headers}");
        if address == town.house.service.customers {
            assert_eq!(get("/health").1, "alive\n");
            for path in ["/ready", "/metrics"] {
                assert!(get(path).1.contains("not-found"), "{path}");
            }
            continue;
        }
        let health: Value = serde_json::from_str(&get("/health").1).unwrap();
        assert_eq!(health["well"], true);
        assert!(health["pipelines"].as_array().unwrap().iter().all(|one| one["well"] == true && one["falls"] == 0));
        let ready: Value = serde_json::from_str(&get("/ready").1).unwrap();
        assert!(ready["ready"] == true && ready["age_seconds"].as_i64().unwrap() <= 30, "{ready}");
        let metrics = get("/metrics").1;
        for name in
            ["claviger_block_height", "claviger_payments_open{state=\"awaiting-approval\"} 0", "claviger_alarms 0"]
        {
            assert!(metrics.contains(name), "{metrics}");
        }
        // Nothing that names a customer or an address.
        assert!(!metrics.contains("alice") && !metrics.contains("bcrt"));
    }
}
