//! An attacker with the database, the interfaces' credentials or a customer's key.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::process::Command;

use common::{ASSET, Town, id_of, text};
use serde_json::{Value, json};
use types::{Amount, Body, Instruction};

/// The instruction of a payment with another destination and amount.
fn forged(town: &Town, id: &str, destination: &str, sats: u64) -> String {
    let canonical = text(&town.payment(id).unwrap(), "/canonical");
    let mut instruction = Instruction::from_canonical(canonical.as_bytes()).unwrap();
    if let Body::CustomerWithdrawal(payment) = &mut instruction.body {
        payment.destination = destination.to_owned();
        payment.amount = Amount::from_sats(sats);
    }
    String::from_utf8(instruction.canonical()).unwrap()
}

fn amount(sats: u64) -> String {
    format!("X'{}'", hex::encode(Amount::from_sats(sats).to_be_bytes()))
}

#[test]
fn t07_database_rewrite_moves_nothing() {
    let mut town = Town::with_coins();
    let mallory = town.outside();
    let honest = town.outside();

    // Destination and amount of a withdrawal that waits for approval, edited; the queue told that it is approved.
    let large = id_of("large");
    assert_eq!(town.withdraw("alice", "large", &Town::withdrawal(60_000_000, &honest)).status, 201);
    town.reaches(&large, "awaiting-approval");
    let canonical = forged(&town, &large, &mallory, 60_000_000);
    town.tamper(&format!(
        "UPDATE payments SET destination = '{mallory}', canonical = '{canonical}', state = 'approved', tier = 'automatic'
         WHERE id = '{large}'"
    ));
    town.house.service.restart().unwrap();
    let shown = town.reaches(&large, "refused");
    assert!(text(&shown, "/payment/reason").contains("customer-signature"), "{shown}");

    // Approvals taken from one payment and put under another, whose state says approved.
    let (given, wanted) = (id_of("given"), id_of("wanted"));
    for key in ["given", "wanted"] {
        let answer = town.withdraw("alice", key, &Town::withdrawal(70_000_000, &mallory));
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        town.reaches(&id_of(key), "awaiting-approval");
    }
    assert_eq!(town.approve("olga", &given).status, 200);
    town.tamper(&format!(
        "INSERT INTO approvals SELECT '{wanted}', operator, signature, created FROM approvals WHERE payment = '{given}';
         INSERT INTO approvals SELECT '{wanted}', 'omar', signature, created FROM approvals WHERE payment = '{given}';
         UPDATE payments SET state = 'approved', tier = 'quorum' WHERE id = '{wanted}'"
    ));
    town.house.service.restart().unwrap();
    let shown = town.reaches(&wanted, "refused");
    assert!(text(&shown, "/payment/reason").contains("approvals-missing"), "{shown}");

    // An instruction that nobody asked for.
    let invented = forged(&town, &given, &mallory, 4_000_000).replace(&given, "wd-00000000000000000000000000000000");
    town.tamper(&format!(
        "INSERT INTO payments SELECT 'wd-00000000000000000000000000000000', kind, 'approved', requester, asset, wallet,
         '{mallory}', destination_wallet, {}, '{invented}', request, body_digest, hold, expires, 'automatic', '', '', 0,
         created, updated FROM payments WHERE id = '{given}'",
        amount(4_000_000)
    ));
    town.house.service.restart().unwrap();
    let shown = town.reaches("wd-00000000000000000000000000000000", "refused");
    assert!(text(&shown, "/payment/reason").contains("customer-signature"), "{shown}");
    assert_eq!(town.received(&mallory), (0, 0));

    // A payment that was paid, put back into the queue.
    let small = id_of("small");
    town.house.service.restart().unwrap();
    assert_eq!(town.withdraw("alice", "small", &Town::withdrawal(2_000_000, &honest)).status, 201);
    town.reaches(&small, "broadcast");
    town.house.node.mine(1).unwrap();
    town.reaches(&small, "settled");
    let hold = format!("X'{}'", "00".repeat(16));
    town.tamper(&format!("UPDATE payments SET state = 'approved', grp = '', hold = {hold} WHERE id = '{small}'"));
    town.house.service.restart().unwrap();
    town.until_alarm("payment-differs", "the audit log says that it was settled before");
    town.reaches(&small, "settled");
    assert_eq!(town.received(&honest), (2_000_000, 1));
    assert_eq!(town.received(&mallory), (0, 0));

    // Everything that was refused is in the log, which still holds.
    let export = town.house.directory().join("audit.jsonl");
    let status = Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(["--url", &format!("http://{}", town.house.service.operators), "--key"])
        .arg(town.house.people.key_file("olga"))
        .args(["audit", "--out"])
        .arg(&export)
        .status();
    assert!(status.unwrap().success());
    let log = std::fs::read_to_string(&export).unwrap();
    for word in ["customer-signature", "approvals-missing", "payment.put-back", "payment.refused"] {
        assert!(log.contains(word), "{word}");
    }
    let mut verifier = audit_log::Verifier::default();
    log.lines().for_each(|line| drop(verifier.line(line).unwrap()));
}

#[test]
fn t07_invented_balances_are_found_before_anything_is_paid_by_them() {
    let mut town = Town::with_coins();
    let journal = "UPDATE journal SET amount = X'00000000000000000000000077359400' WHERE seq = 2";
    let drop_triggers = "DROP TRIGGER journal_update; DROP TRIGGER journal_delete";
    let balance = format!(
        "INSERT OR REPLACE INTO balances SELECT id, {z}, {z}, {z}, {much}, 3 FROM accounts WHERE name = 'customer:bob'",
        z = amount(0),
        much = amount(9_000_000_000)
    );
    town.house.service.kill();
    let database = town.house.directory().join("claviger.db");
    let copy = town.house.directory().join("intact.db");
    let copies = |from: &std::path::Path, to: &std::path::Path| {
        for end in ["", "-wal", "-shm"] {
            let file = |path: &std::path::Path| std::path::PathBuf::from(format!("{}{end}", path.display()));
            let _ = std::fs::remove_file(file(to));
            if file(from).exists() {
                std::fs::copy(file(from), file(to)).unwrap();
            }
        }
    };
    copies(&database, &copy);
    for edit in [format!("{drop_triggers}; {journal}"), balance] {
        town.tamper(&edit);
        let refused = town.house.service.restart().unwrap_err();
        assert!(refused.contains("books") || refused.contains("never written"), "{refused}");
        copies(&copy, &database);
    }
    town.house.service.restart().unwrap();
    assert_eq!(town.available("bob").unwrap(), 50_000_000);
}

#[test]
fn t04_approvals_over_the_interface_count_as_the_charter_says() {
    let town = Town::with_coins();
    let destination = town.outside();
    let id = id_of("approved");
    assert_eq!(town.withdraw("alice", "approved", &Town::withdrawal(60_000_000, &destination)).status, 201);
    town.reaches(&id, "awaiting-approval");
    // Omar's signature under olga's name.
    let canonical = text(&town.payment(&id).unwrap(), "/canonical");
    let instruction = Instruction::from_canonical(canonical.as_bytes()).unwrap();
    let signature = town.house.people.approve("omar", &instruction).unwrap().signature;
    let path = format!("/v1/payments/{id}/approvals");
    let answer = town.olga().ask("POST", &path, "other", &json!({"signature": signature}).to_string()).unwrap();
    assert_eq!((answer.status, text(&answer.body, "/code").as_str()), (403, "approval-refused"));
    let nonsense = town.olga().ask("POST", &path, "nonsense", &json!({"signature": "x"}).to_string()).unwrap();
    assert_eq!(nonsense.status, 403);
    // Olga twice is olga once.
    for _ in 0..2 {
        assert_eq!(town.approve("olga", &id).status, 200);
    }
    assert_eq!(town.payment(&id).unwrap().pointer("/approvals").and_then(Value::as_array).unwrap().len(), 1);
    assert_eq!(town.state(&id).unwrap(), "awaiting-approval");
    assert_eq!(town.approve("omar", &id).status, 200);
    town.reaches(&id, "broadcast");
    assert_eq!(town.approve("omar", &id).status, 409);
    let late = town.alice().ask("POST", &format!("/v1/withdrawals/{id}/cancel"), "late", "").unwrap();
    assert_eq!((late.status, text(&late.body, "/code").as_str()), (409, "too-late"));
}

#[test]
fn t04_passkeys_approve_what_they_were_shown_and_nothing_else() {
    let passkey = testkit::Passkey::new([9; 32]).unwrap();
    let town = Town::decided(|charter| {
        charter.relying_party =
            policy::RelyingParty { id: "localhost".to_owned(), origin: "http://localhost:7071".to_owned() };
        let entry = policy::Passkey {
            credential: passkey.credential.clone(),
            public_key: passkey.public_key().unwrap(),
            device_bound: true,
        };
        charter.operators[1].passkeys = vec![entry];
    });
    let destination = town.outside();
    let ids: Vec<String> = ["shown", "hidden"]
        .iter()
        .map(|key| {
            assert_eq!(town.withdraw("alice", key, &Town::withdrawal(60_000_000, &destination)).status, 201);
            town.reaches(&id_of(key), "awaiting-approval");
            assert_eq!(town.approve("olga", &id_of(key)).status, 200);
            id_of(key)
        })
        .collect();
    let digest = |id: &str| {
        let canonical = text(&town.payment(id).unwrap(), "/canonical");
        Instruction::from_canonical(canonical.as_bytes()).unwrap().digest()
    };
    let omar = town.house.operator("omar").unwrap();
    let approve = |id: &str, assertion: &str| {
        let body = json!({"signature": assertion}).to_string();
        omar.ask("POST", &format!("/v1/payments/{id}/approvals"), &format!("omar-{id}"), &body).unwrap()
    };
    // A page that shows one payment and has another one signed, a stolen session that replays, an unverified person.
    let honest = testkit::Ceremony::new("localhost", "http://localhost:7071", digest(&ids[0]).as_bytes());
    let assertion = passkey.assert(&honest);
    let unverified = passkey.assert(&testkit::Ceremony { flags: 1, ..honest.clone() });
    for (id, assertion) in [(&ids[1], &assertion), (&ids[0], &unverified)] {
        let answer = approve(id, assertion);
        assert_eq!((answer.status, text(&answer.body, "/code").as_str()), (403, "approval-refused"));
    }
    // The database is told that it counts; the signers read it themselves.
    let quoted = assertion.replace('\'', "''");
    town.tamper(&format!(
        "INSERT INTO approvals VALUES ('{}', 'omar', '{quoted}', 1);
         UPDATE payments SET state = 'approved', tier = 'quorum', solo = 1 WHERE id = '{}'",
        ids[1], ids[1]
    ));
    assert_eq!(approve(&ids[0], &assertion).status, 200);
    town.reaches(&ids[0], "broadcast");
    let refused = town.reaches(&ids[1], "refused");
    assert!(text(&refused, "/payment/reason").contains("approvals-missing"), "{refused}");
    assert_eq!(town.received(&destination), (60_000_000, 1));
}

#[test]
fn t07_a_rewritten_address_is_neither_shown_nor_credited() {
    let town = Town::with_coins();
    let own = town.address("bob", "second");
    let mallory = town.outside();
    town.tamper(&format!(
        "UPDATE idempotency SET answer = replace(answer, '{own}', '{mallory}');
         UPDATE addresses SET address = '{mallory}' WHERE address = '{own}'"
    ));
    let bob = town.house.customer("bob").unwrap();
    let wanted = json!({"asset": ASSET.to_string(), "label": "second"}).to_string();
    for answer in [bob.ask("POST", "/v1/addresses", "second", &wanted), bob.ask("GET", "/v1/addresses", "", "")] {
        let answer = answer.unwrap();
        assert_eq!((answer.status, text(&answer.body, "/code").as_str()), (500, "address-differs"));
    }
    town.house.node.pay(&own, 5_000_000).unwrap();
    town.house.node.mine(2).unwrap();
    town.until_alarm("address-differs", "wrote into it");
    assert_eq!(town.available("bob").unwrap(), 50_000_000);
    town.tamper(&format!("UPDATE addresses SET address = '{own}' WHERE address = '{mallory}'"));
    town.until_available("bob", 55_000_000);
    town.until_no_alarm("address-differs");
}

#[test]
fn t07_a_deposit_whose_owner_was_rewritten_is_set_aside() {
    let town = Town::with_coins();
    let (first, second) = (town.address("alice", "a"), town.address("alice", "b"));
    // The address's row before the deposit, and the deposit's row after it.
    town.tamper(&format!("UPDATE addresses SET owner = 'customer:bob' WHERE address = '{first}'"));
    let txids = [&first, &second].map(|address| town.house.node.pay(address, 7_000_000).unwrap().to_string());
    town.house.node.mine(1).unwrap();
    claviger::dev::until("both deposits", || {
        let found = town.tamper("UPDATE deposits SET owner = 'customer:bob' WHERE state = 'confirming'");
        if found == 2 { Ok(Some(())) } else { Err(format!("{found}")) }
    })
    .unwrap();
    town.house.node.mine(1).unwrap();
    for txid in &txids {
        claviger::dev::until("set aside", || {
            let list = town.olga().get("/v1/deposits")?;
            let items = list["items"].as_array().cloned().unwrap_or_default();
            let row =
                items.iter().find(|row| text(row, "/id").starts_with(txid.as_str())).cloned().ok_or("not there")?;
            let aside = text(&row, "/state") == "quarantined" && text(&row, "/reason").contains("audit log");
            if aside { Ok(Some(())) } else { Err(row.to_string()) }
        })
        .unwrap();
    }
    assert_eq!((town.available("alice").unwrap(), town.available("bob").unwrap()), (300_000_000, 50_000_000));
}

#[test]
fn one_person_freezes_everything_at_once_also_across_restarts() {
    let mut town = Town::with_coins();
    let body = json!({"latch": "all", "reason": "something smells"});
    let answer = town.olga().post("/v1/freeze", "freeze", &body).unwrap();
    assert_eq!(answer.pointer("/frozen").and_then(Value::as_array).unwrap().len(), 3);
    town.house.fleet.kill(0).unwrap();
    town.house.fleet.restart(0).unwrap();
    town.house.service.restart().unwrap();
    let destination = town.outside();
    assert_eq!(town.withdraw("alice", "frozen", &Town::withdrawal(1_000_000, &destination)).status, 201);
    town.until_alarm("signers", "frozen");
    assert_eq!(town.received(&destination), (0, 0));
    town.until_ready(false);
    // One signature opens nothing; the release quorum does, at each signer by itself, and the payment goes on.
    let cli = |arguments: &[&str]| {
        let url = format!("http://{}", town.house.service.operators);
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(["--url", &url, "--key"]).arg(town.house.people.key_file("olga")).args(arguments);
        let output = command.output().unwrap();
        let words = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(words).unwrap())
    };
    for signer in ["s1", "s2"] {
        let file = town.house.directory().join(format!("unfreeze-{signer}.json"));
        let path = file.to_str().unwrap();
        // Nobody of the quorum may have asked: the house has two approvers, so a third name asks.
        let (done, words) = cli(&["unfreeze", signer, "all", "it was the smoke", "--requester", "otto", "--out", path]);
        assert!(done && words.contains("Open the latch"), "{words}");
        let instruction = Instruction::from_canonical(&std::fs::read(&file).unwrap()).unwrap();
        let mut approvals = Vec::new();
        for operator in ["olga", "omar"] {
            let signature = town.house.directory().join(format!("{operator}-{signer}.sig"));
            std::fs::write(&signature, town.house.people.approve(operator, &instruction).unwrap().signature).unwrap();
            approvals.push(format!("{operator}={}", signature.display()));
        }
        let (done, words) = cli(&["execute", path, "--approval", &approvals[0]]);
        assert!(!done && words.contains("signers-refuse"), "{words}");
        let (done, words) = cli(&["execute", path, "--approval", &approvals[0], "--approval", &approvals[1]]);
        assert!(done && words.contains(signer), "{words}");
    }
    town.reaches(&id_of("frozen"), "broadcast");
    assert_eq!(town.received(&destination), (1_000_000, 1));
}

#[test]
fn one_customer_is_frozen_while_the_online_system_is_down_and_others_are_served() {
    let mut town = Town::with_coins();
    town.house.service.kill();
    let freeze = |latch: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_claviger"))
            .args(["freeze-direct", "--config"])
            .arg(town.house.directory().join("claviger.json"))
            .args([latch, "a stolen phone"])
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (done, words) = freeze("customer:nobody");
    assert!(!done && words.contains("(latch)"), "{words}");
    let (done, words) = freeze("customer:alice");
    assert!(done && words.matches(": frozen").count() == 3, "{words}");
    town.house.service.restart().unwrap();
    let (of_alice, of_bob) = (town.outside(), town.outside());
    let ids: Vec<String> = [("alice", &of_alice), ("bob", &of_bob)]
        .iter()
        .map(|(name, destination)| {
            let answer = town.withdraw(name, "frozen", &Town::withdrawal(1_000_000, destination));
            assert_eq!(answer.status, 201, "{:?}", answer.body);
            text(&answer.body, "/id")
        })
        .collect();
    town.reaches(&ids[1], "broadcast");
    town.until_alarm("signers", "customer:alice");
    assert_eq!((town.received(&of_alice), town.received(&of_bob)), ((0, 0), (1_000_000, 1)));
    // Signing goes on for the others, so the system is ready.
    town.until_ready(true);
}
