//! What nobody gets by asking again, by asking twice, by another clock, or by asking signers that are frozen.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use claviger::custody::now;
use common::direct::{Order, signers};
use common::thief::Thief;
use common::{Town, id_of, text};
use serde_json::{Value, json};
use signer_wire::RequestBody;
use testkit::{Ceremony, Passkey};
use types::Approval;

const PAIRS: [[usize; 2]; 3] = [[0, 1], [0, 2], [1, 2]];

fn named(answer: &claviger::cli::Answer) -> (u16, String) {
    (answer.status, text(&answer.body, "/code"))
}

#[test]
fn t07_a_payment_that_has_ended_is_not_paid_whatever_its_row_says() {
    let mut town = Town::with_coins();
    let destination = town.outside();
    let large = |key: &str| {
        assert_eq!(town.withdraw("alice", key, &Town::withdrawal(60_000_000, &destination)).status, 201);
        town.reaches(&id_of(key), "awaiting-approval");
        id_of(key)
    };

    // Taken back by alice between two approvals. The second one is as good as the first, so signers would have no reason to refuse.
    let cancelled = large("cancelled");
    assert_eq!(town.approve("olga", &cancelled).status, 200);
    let omars = town.house.people.approve("omar", &town.instruction(&cancelled)).unwrap().signature;
    let path = format!("/v1/withdrawals/{cancelled}/cancel");
    assert_eq!(town.alice().ask("POST", &path, "back", "").unwrap().status, 200);
    town.tamper(&format!(
        "INSERT INTO approvals VALUES ('{cancelled}', 'omar', '{omars}', 1);
         UPDATE payments SET state = 'approved', tier = 'quorum' WHERE id = '{cancelled}'"
    ));
    town.until_alarm("payment-differs", "the audit log says that it was cancelled before");
    town.reaches(&cancelled, "cancelled");

    // Refused by signers, and put into the queue again; from the state before as well.
    let refused = large("refused");
    for (from, state) in [("awaiting-approval", "approved"), ("refused", "approved"), ("refused", "screened")] {
        town.reaches(&refused, from);
        town.tamper(&format!("UPDATE payments SET state = '{state}', tier = 'quorum' WHERE id = '{refused}'"));
        if state == "screened" {
            // Here it waits for people once more, and can only end.
            town.reaches(&refused, "awaiting-approval");
            let path = format!("/v1/payments/{refused}/cancel");
            assert_eq!(town.olga().ask("POST", &path, "stop", "").unwrap().status, 200);
            town.reaches(&refused, "cancelled");
        } else {
            let shown = town.reaches(&refused, "refused");
            let words = if from == "refused" { "it was refused before" } else { "approvals-missing" };
            claviger::dev::until(words, || {
                let reason = text(&town.payment(&refused)?, "/payment/reason");
                if reason.contains(words) { Ok(Some(())) } else { Err(reason) }
            })
            .unwrap();
            drop(shown);
        }
    }
    let alarms = town.alarms().unwrap();
    let of_refused: Vec<_> = alarms.iter().filter(|alarm| text(alarm, "/subject") == refused).collect();
    assert!(of_refused.len() == 1 && text(of_refused[0], "/code") == "payment-differs", "{alarms:?}");

    // Its hold was rewritten: it ends all the same, and the books say so.
    let unheld = large("unheld");
    let hold = format!("X'{}'", "00".repeat(16));
    town.tamper(&format!("UPDATE payments SET state = 'approved', hold = {hold} WHERE id = '{unheld}'"));
    let shown = town.reaches(&unheld, "refused");
    assert!(text(&shown, "/payment/reason").contains("approvals-missing"), "{shown}");
    town.until_alarm("payment-differs", "the books have no open hold for it");

    // Paid before, and the log's word for that cut out as well: signers remember by themselves.
    assert_eq!(town.withdraw("alice", "small", &Town::withdrawal(2_000_000, &destination)).status, 201);
    let small = id_of("small");
    town.reaches(&small, "broadcast");
    town.house.node.mine(1).unwrap();
    town.reaches(&small, "settled");
    town.tamper(&format!(
        "DROP TRIGGER audit_delete;
         DELETE FROM audit WHERE subject = '{small}' AND action = 'payment.settled';
         UPDATE payments SET state = 'approved', grp = '', hold = {hold} WHERE id = '{small}'"
    ));
    town.until_alarm("signers", "signed-once");
    assert_eq!(town.received(&destination), (2_000_000, 1));

    // People put the alarm away; it does not come back.
    let body = json!({"code": "payment-differs", "subject": refused}).to_string();
    assert_eq!(town.olga().ask("POST", "/v1/alarms/put-away", "away", &body).unwrap().status, 204);
    town.house.service.restart().unwrap();
    town.until_alarm("signers", "signed-once");
    assert!(!town.alarms().unwrap().iter().any(|alarm| text(alarm, "/subject") == refused));
    town.assert_books();
}

#[test]
fn t04_one_person_with_two_keys_approves_once_and_a_tier_may_ask_for_the_better_one() {
    let [olgas, omars] = [1, 2].map(|number| Passkey::new([number; 32]).unwrap());
    let town = Town::decided(|charter| {
        for (operator, passkey) in charter.operators.iter_mut().zip([&olgas, &omars]) {
            operator.passkeys = vec![policy::Passkey {
                credential: passkey.credential.clone(),
                public_key: passkey.public_key().unwrap(),
                device_bound: true,
            }];
        }
        charter.tiers[1].device_bound = true;
    });
    let origin = town.house.charter.relying_party.origin.clone();
    let assert = |passkey: &Passkey, digest: &types::Digest, flags: u8| {
        passkey.assert(&Ceremony { flags, ..Ceremony::new("localhost", &origin, digest.as_bytes()) })
    };
    let destination = town.outside();
    let id = id_of("two-keys");
    assert_eq!(town.withdraw("alice", "two-keys", &Town::withdrawal(60_000_000, &destination)).status, 201);
    town.reaches(&id, "awaiting-approval");
    let digest = town.instruction(&id).digest();

    // With keys in files both approve, and neither counts in this tier: the page says why, and real signers say the same.
    for name in ["olga", "omar"] {
        assert_eq!(town.approve(name, &id).status, 200);
    }
    let shown = town.payment(&id).unwrap()["explanation"].to_string();
    for words in [
        "counted are 0 of 0",
        "with a key that cannot leave its device",
        "the approval of olga does not count here: its key can leave its device",
        "the approval of omar does not count here: its key can leave its device",
    ] {
        assert!(shown.contains(words), "{words} in {shown}");
    }
    // The charter's page and the payment's show it, and what would be said is asked in advance.
    town.enrolled("olga", &olgas);
    let mut desk = Thief::new(&origin, (String::new(), "olga's".to_owned()));
    desk.sign_in(&olgas);
    let pages = [("/console/charter".to_owned(), "2 of 2 organisation(s), with keys that cannot leave their device")];
    let shown = [(format!("/console/payments/{id}"), "the approval of olga does not count here")];
    for (path, words) in pages.iter().chain(&shown) {
        let (status, page) = desk.get(path);
        assert!(status == 200 && page.contains(words), "{words} in {page}");
    }
    let explain = |approvers: [&str; 2]| {
        let body = json!({"wallet": "hot", "destination": destination, "amount": "60000000", "customer": "alice", "approvers": approvers});
        town.olga().post("/v1/policy/explain", &approvers.join("-"), &body).unwrap()
    };
    assert_eq!(text(&explain(["olga", "omar"]), "/rule"), "quorum");
    let without = explain(["olga", "oona"]).to_string();
    assert!(without.contains("the approval of oona does not count here"), "{without}");
    let by_file = |instruction: &types::Instruction| {
        let sign = |name| town.house.people.sign(name, "claviger-approval", &instruction.digest()).unwrap();
        ["olga", "omar"].map(sign).to_vec()
    };
    let order = Order::new(&town, "direct", &destination, 60_000_000, by_file);
    for pair in PAIRS {
        let words = order.ask(&mut signers(&town, &pair)).unwrap_err();
        assert_eq!(words.matches("does not count here: its key can leave its device").count(), 4, "{words}");
    }
    // One person with both keys is one person at the signers as well.
    let by_olga = |instruction: &types::Instruction| {
        let passkey = assert(&olgas, &instruction.digest(), 5);
        let passkey = Approval { operator: "olga".parse().unwrap(), signature: passkey };
        vec![passkey, town.house.people.sign("olga", "claviger-approval", &instruction.digest()).unwrap()]
    };
    let order = Order::new(&town, "direct", &destination, 60_000_000, by_olga);
    for pair in PAIRS {
        let words = order.ask(&mut signers(&town, &pair)).unwrap_err();
        assert!(words.contains("counted are 1 of 1"), "{words}");
    }

    // The better key takes the place of the other; then one person counts once, by name, and nothing else is taken.
    let synced = town.hand_in("olga", &id, &assert(&olgas, &digest, 5 | 8));
    assert_eq!(named(&synced), (403, "approval-refused".to_owned()));
    assert_eq!(town.hand_in("olga", &id, &assert(&olgas, &digest, 5)).status, 200);
    assert_eq!(town.hand_in("olga", &id, &assert(&olgas, &digest, 5)).status, 200, "the same again is no error");
    assert_eq!(named(&town.approve("olga", &id)), (409, "approved-before".to_owned()));
    let approvals = town.payment(&id).unwrap()["approvals"].clone();
    assert_eq!(approvals.as_array().map(Vec::len), Some(2));
    assert_eq!(town.received(&destination), (0, 0));
    assert_eq!(town.hand_in("omar", &id, &assert(&omars, &digest, 5)).status, 200);
    town.reaches(&id, "broadcast");
    assert_eq!(town.received(&destination), (60_000_000, 1));
}

#[test]
fn t03_a_request_by_another_clock_is_refused_by_name_and_nothing_is_half_done() {
    let town = Town::with_coins();
    let destination = town.outside();
    let body = Town::withdrawal(1_000_000, &destination).to_string();
    let freeze = json!({"latch": "all", "reason": "a clock"}).to_string();
    let (alice, olga) = (town.house.people.key("alice").unwrap(), town.house.people.key("olga").unwrap());
    // Ahead by more than a minute; behind by more than a signature holds.
    for (key, seconds) in [("ahead", 90), ("far-ahead", 86_400), ("behind", -180), ("far-behind", -86_400)] {
        let at = now().whole_seconds().plus_seconds(seconds);
        let request = alice.sign_at(at, "POST", "/v1/withdrawals", key, &body).unwrap();
        let answer = town.alice().send(&request).unwrap();
        assert_eq!(named(&answer), (401, "clock-skew".to_owned()), "{key}");
        let words = text(&answer.body, "/detail");
        assert!(words.contains("here it is") && words.contains("set your clock"), "{words}");
        let request = olga.sign_at(at, "POST", "/v1/freeze", key, &freeze).unwrap();
        assert_eq!(named(&town.olga().send(&request).unwrap()), (401, "clock-skew".to_owned()), "{key}");
    }
    assert_eq!(town.alice().get("/v1/withdrawals").unwrap()["items"], json!([]));
    let latches = town.olga().get("/v1/signers").unwrap();
    assert!(latches["items"].as_array().unwrap().iter().all(|signer| signer["latches"] == json!([])), "{latches}");
    assert_eq!(town.available("alice").unwrap(), 300_000_000);
    // A clock that is a little behind is nobody's fault, and signers say so too.
    let request = alice.sign_at(now().whole_seconds().plus_seconds(-60), "POST", "/v1/withdrawals", "near", &body);
    assert_eq!(town.alice().send(&request.unwrap()).unwrap().status, 201);
    town.reaches(&id_of("near"), "broadcast");
}

#[test]
fn t07_frozen_signers_sign_nothing_whoever_asks() {
    let mut town = Town::with_coins();
    // A coin for everything that is asked for below.
    for number in 0..8 {
        let address = town.address("bob", &format!("more-{number}"));
        town.house.node.pay(&address, 70_000_000).unwrap();
    }
    town.house.node.mine(3).unwrap();
    town.until_available("bob", 50_000_000 + 8 * 70_000_000);
    let destination = town.outside();
    let ada = town.house.operator("ada").unwrap();
    let freeze = |latch: &str| {
        let body = json!({"latch": latch, "reason": "something smells"});
        ada.post("/v1/freeze", latch, &body).unwrap()["frozen"].as_array().unwrap().len()
    };
    let canary = |town: &Town, place: usize| {
        let question = RequestBody::Canary { challenge: "now".to_owned() };
        signers(town, &[place])[0].call(question).map(|_| ()).map_err(|error| error.to_string())
    };
    assert!((0..3).all(|place| canary(&town, place).is_ok()));

    // One of them: every pair with it is refused, it shows no canary, and the two others go on.
    assert_eq!(freeze("signer:s1"), 1);
    let order = Order::new(&town, "direct", &destination, 1_000_000, |_| vec![]);
    for pair in [[0, 1], [0, 2]] {
        let words = order.ask(&mut signers(&town, &pair)).unwrap_err();
        assert!(words.contains("(frozen)"), "{words}");
    }
    assert!(canary(&town, 0).unwrap_err().contains("(frozen)"));
    assert!(canary(&town, 1).is_ok() && canary(&town, 2).is_ok());
    assert_eq!(order.ask(&mut signers(&town, &[1, 2])).unwrap().len(), 2);
    assert!(order.ask(&mut signers(&town, &[0])).unwrap_err().contains("(frozen)"), "nor what its peers have signed");

    // All of them, asked by customers, with everybody's approval, by every operator, and past the online system.
    assert_eq!(freeze("all"), 3);
    assert_eq!(town.withdraw("bob", "small", &Town::withdrawal(1_000_000, &destination)).status, 201);
    assert_eq!(town.withdraw("alice", "large", &Town::withdrawal(60_000_000, &destination)).status, 201);
    let large = id_of("large");
    town.reaches(&large, "awaiting-approval");
    for name in ["olga", "omar", "oona"] {
        assert!([200, 409].contains(&town.approve(name, &large).status), "{name}");
    }
    town.reaches(&large, "generated");
    for name in ["olga", "omar", "oona"] {
        let operator = town.house.operator(name).unwrap();
        let wanted = json!({"asset": common::ASSET.to_string(), "amount": "5000000", "wallet": "hot", "destination_wallet": "cold"});
        let transfer = text(&operator.post("/v1/transfers", name, &wanted).unwrap(), "/id");
        town.reaches(&transfer, "awaiting-approval");
        let other = if name == "olga" { "omar" } else { "olga" };
        assert_eq!(town.approve(other, &transfer).status, 200);
        town.reaches(&transfer, "generated");
        // Alone nobody opens a latch either, and asks in vain for it to be carried out.
        let unfreeze = json!({"unfreeze": {"signer": "s1", "latch": "all", "reason": name}});
        let proposal = operator.post("/v1/proposals", &format!("open-{name}"), &unfreeze).unwrap();
        let path = format!("/v1/proposals/{}/carry-out", text(&proposal, "/id"));
        let answer = operator.ask("POST", &path, &format!("carry-{name}"), "{\"force\":true}").unwrap();
        assert_eq!(named(&answer), (409, "approvals-missing".to_owned()));
    }
    let everybody = |instruction: &types::Instruction| {
        let sign = |name| town.house.people.sign(name, "claviger-approval", &instruction.digest()).unwrap();
        ["olga", "omar", "oona"].map(sign).to_vec()
    };
    let orders = [
        Order::new(&town, "direct-small", &destination, 1_000_000, |_| vec![]),
        Order::new(&town, "direct-large", &destination, 60_000_000, everybody),
        order,
    ];
    for order in &orders {
        for pair in PAIRS {
            let words = order.ask(&mut signers(&town, &pair)).unwrap_err();
            assert!(words.contains("(frozen)"), "{words}");
        }
    }
    for place in 0..3 {
        assert!(canary(&town, place).unwrap_err().contains("(frozen)"));
    }
    let alarm = town.until_alarm("signers", "(frozen)");
    assert_eq!(text(&alarm, "/message").matches("(frozen)").count(), 3, "{alarm}");
    town.until_ready(false);
    assert_eq!(town.received(&destination), (0, 0));
    let states = ["/v1/withdrawals", "/v1/transfers"].map(|path| town.olga().get(path).unwrap()["items"].clone());
    for payment in states.iter().filter_map(Value::as_array).flatten() {
        assert_eq!(text(payment, "/state"), "generated", "{payment}");
    }

    // Also after every one of them was started again.
    for place in 0..3 {
        town.house.fleet.kill(place).unwrap();
        town.house.fleet.restart(place).unwrap();
        assert!(canary(&town, place).is_err());
    }
    town.until_alarm("signers", "(frozen)");
    assert_eq!(town.received(&destination), (0, 0));
}
