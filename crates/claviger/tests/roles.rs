//! Every cell of the role-by-action table, tried through the interface; grants, hours and networks that let nobody in.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use claviger::config::{OperatorKey, Restriction};
use claviger::dev::House;
use common::{ASSET, Town, text};
use policy::{Action, Operator, Role};
use serde_json::{Value, json};
use types::Moment;

/// One request for each action. What it names may not exist: a role that may not ask is refused before anybody looks.
fn request(action: Action) -> (&'static str, &'static str, Value) {
    match action {
        Action::Read => ("GET", "/v1/withdrawals", Value::Null),
        Action::Freeze => ("POST", "/v1/freeze", json!({"latch": "customer:nobody", "reason": "drill"})),
        Action::RequestTransfer => {
            let body =
                json!({"asset": ASSET.to_string(), "amount": "1000", "wallet": "none", "destination_wallet": "cold"});
            ("POST", "/v1/transfers", body)
        }
        Action::TendPayments => ("POST", "/v1/alarms/put-away", json!({"code": "none", "subject": "none"})),
        Action::Approve => ("POST", "/v1/payments/none/approvals", json!({"signature": "none"})),
        Action::StopPayment => ("POST", "/v1/payments/none/cancel", Value::Null),
        Action::ProposeInstruction => {
            ("POST", "/v1/proposals", json!({"unfreeze": {"signer": "none", "latch": "all", "reason": "drill"}}))
        }
        Action::ProposeCharter => ("POST", "/v1/proposals", json!({"charter": {"charter": "{}", "base": "none"}})),
        Action::CarryOut => ("POST", "/v1/proposals/none/carry-out", json!({"force": false})),
        Action::Invite => ("POST", "/v1/invitations", json!({"operator": "Not A Name"})),
        Action::RevokeDevice => ("POST", "/v1/passkeys/none/lost", Value::Null),
        Action::EndSession => ("POST", "/v1/sessions/none/end", Value::Null),
        Action::ReplayEvents => ("POST", "/v1/webhooks/replay", json!({"url": "none", "after": 0})),
    }
}

fn asked(house: &House, name: &str, action: Action) -> (u16, String) {
    let (method, path, body) = request(action);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let key = if method == "GET" { "" } else { "1" };
    let answer = house.operator(name).unwrap().ask(method, path, key, &body).unwrap();
    (answer.status, text(&answer.body, "/code"))
}

#[test]
fn t12_every_cell_of_the_role_table_is_enforced() {
    let directory = tempfile::tempdir().unwrap();
    let single = |id: &str, role| Operator {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        organisation: "Northbank".to_owned(),
        roles: vec![role],
        expires: None,
        review: None,
        keys: vec![],
        passkeys: vec![],
    };
    for role in Role::ALL {
        let path = directory.path().join(role.as_str());
        std::fs::create_dir(&path).unwrap();
        let house = House::start_with(
            &path,
            |_| {},
            |charter| {
                charter.operators.retain(|operator| operator.id.as_str() != "ada");
                charter.operators.push(single("ada", role));
            },
        )
        .unwrap();
        for action in Action::ALL {
            let (status, code) = asked(&house, "ada", action);
            if role.allows(action) {
                assert!(code != "role" && status != 401, "{} may {}: {status} {code}", role.as_str(), action.as_str());
            } else {
                assert_eq!((status, code.as_str()), (403, "role"), "{} {}", role.as_str(), action.as_str());
            }
        }
        if role == Role::Auditor {
            let audit = house.operator("olga").unwrap().get("/v1/audit?limit=500").unwrap().to_string();
            assert!(audit.contains("access.refused") && audit.contains("request-transfer"), "{audit}");
        }
    }
}

#[test]
fn t04_grants_hours_and_networks_keep_people_out_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let house = |name: &str, restriction: Option<Restriction>, decide: &dyn Fn(&mut policy::Charter)| {
        let path = directory.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let restrict = |config: &mut claviger::config::Config| {
            config.console.restrictions = restriction.clone().into_iter().collect();
            config.operators.push(OperatorKey { operator: "mallory".to_owned(), key: "00".repeat(32) });
        };
        House::start_with(&path, restrict, decide)
    };
    let ended = house("ended", None, &|charter| {
        charter.operators[3].expires = Some(Moment::from_seconds(1_700_000_000));
    })
    .unwrap();
    assert_eq!(asked(&ended, "ada", Action::Read), (403, "grant-expired".to_owned()));
    assert_eq!(asked(&ended, "olga", Action::Read).0, 200);

    let role = |hours: &str, networks: &[&str]| Restriction {
        role: "administrator".to_owned(),
        hours: hours.to_owned(),
        networks: networks.iter().map(|network| (*network).to_owned()).collect(),
        device_bound: false,
    };
    let elsewhere = house("elsewhere", Some(role("", &["10.9.0.0/16"])), &|_| {}).unwrap();
    assert_eq!(asked(&elsewhere, "ada", Action::Read), (403, "outside-network".to_owned()));
    assert_eq!(asked(&elsewhere, "olga", Action::Read).0, 200, "other roles are not bound");
    let here = house("here", Some(role("", &["127.0.0.0/8"])), &|_| {}).unwrap();
    assert_eq!(asked(&here, "ada", Action::Read).0, 200);
    // Closed for the whole of today, whichever day that is.
    let today = claviger::custody::now().seconds().div_euclid(86_400).saturating_add(3).rem_euclid(7);
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let two_days_on = days[usize::try_from((today + 3) % 7).unwrap()];
    let closed = house("closed", Some(role(&format!("{two_days_on} 00:00-24:00"), &[])), &|_| {}).unwrap();
    assert_eq!(asked(&closed, "ada", Action::Read), (403, "outside-hours".to_owned()));

    for (name, restriction, words) in [
        ("unknown-role", Restriction { role: "king".to_owned(), ..role("", &[]) }, "unknown role"),
        ("no-hours", role("always", &[]), "hours are written"),
        ("no-network", role("", &["office"]), "is not a network"),
    ] {
        let error = house(name, Some(restriction), &|_| {}).err().unwrap_or_default();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn t14_proposals_are_refused_by_name_and_nothing_is_half_done() {
    let town = Town::start();
    let ada = town.house.operator("ada").unwrap();
    let olga = town.olga();
    let charter = ada.get("/v1/charter").unwrap();
    let base = town.house.charter.digest().to_string();
    let propose = |key: &str, body: Value| {
        let answer = ada.ask("POST", "/v1/proposals", key, &body.to_string()).unwrap();
        (answer.status, text(&answer.body, "/code"), answer.body)
    };
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut next = charter.clone();
        edit(&mut next);
        json!({"charter": {"charter": next.to_string(), "base": base}})
    };
    for (key, body, status, code) in [
        ("same", edited(&|_| {}), 422, "nothing-changed"),
        ("nobody", edited(&|next| next["operators"] = json!([])), 422, "charter"),
        ("role", edited(&|next| next["operators"][0]["roles"] = json!(["king"])), 422, "charter"),
        ("old", json!({"charter": {"charter": charter.to_string(), "base": "00"}}), 409, "charter-moved"),
    ] {
        let (found, named, answer) = propose(key, body);
        assert_eq!((found, named.as_str()), (status, code), "{answer}");
    }
    let (_, _, locked) = propose("nobody", edited(&|next| next["operators"] = json!([])));
    assert!(text(&locked, "/detail").contains("can never be met"), "{locked}");

    // Two people edit at once: the one that is signed first counts, the other is overtaken by name.
    let one = propose("one", edited(&|next| next["address_book_seconds"] = json!("60"))).2;
    let two = propose("two", edited(&|next| next["address_book_seconds"] = json!("120"))).2;
    let again = propose("one", edited(&|next| next["address_book_seconds"] = json!("60"))).2;
    assert_eq!(text(&one, "/id"), text(&again, "/id"));
    let sign = |name: &str, shown: &Value| {
        let digest = text(shown, "/digest").parse().unwrap();
        let signature = town.house.people.sign(name, "claviger-charter", &digest).unwrap().signature;
        let path = format!("/v1/proposals/{}/approvals", text(shown, "/id"));
        let body = json!({"signature": signature}).to_string();
        town.house.operator(name).unwrap().ask("POST", &path, &format!("{name}-{path}"), &body).unwrap()
    };
    // A signature for one is none for the other.
    let digest = text(&two, "/digest").parse().unwrap();
    let other = town.house.people.sign("olga", "claviger-charter", &digest).unwrap().signature;
    let path = format!("/v1/proposals/{}/approvals", text(&one, "/id"));
    let answer = olga.ask("POST", &path, "other", &json!({"signature": other}).to_string()).unwrap();
    assert_eq!((answer.status, text(&answer.body, "/code").as_str()), (403, "approval-refused"));
    assert_eq!(sign("olga", &one).status, 200);
    assert_eq!(text(&sign("omar", &one).body, "/state"), "done");
    let overtaken = claviger::dev::until("the other one is overtaken", || {
        let shown = town.olga().get(&format!("/v1/proposals/{}", text(&two, "/id")))?;
        if text(&shown, "/state") == "withdrawn" { Ok(Some(shown)) } else { Err(shown.to_string()) }
    })
    .unwrap();
    assert!(text(&overtaken, "/outcome").contains("overtaken by charter version 2"), "{overtaken}");
    assert_eq!(sign("olga", &two).status, 409);
}

#[test]
fn t04_a_lost_device_ends_by_two_others_and_by_its_owner_at_once() {
    let town = Town::start();
    let insert = |id: &str, operator: &str| {
        town.tamper(&format!(
            "INSERT INTO credentials (id, operator, public_key, device_bound, created, revoked)
             VALUES ('{id}', '{operator}', x'{}', 1, 1, 0)",
            "02".repeat(33)
        ));
    };
    insert("key-of-ada", "ada");
    insert("key-of-olga", "olga");
    let lost = |name: &str, id: &str, key: &str| {
        let answer =
            town.house.operator(name).unwrap().ask("POST", &format!("/v1/passkeys/{id}/lost"), key, "").unwrap();
        (answer.status, answer.body.get("revoked").and_then(Value::as_bool))
    };
    assert_eq!(lost("olga", "key-of-ada", "1"), (200, Some(false)));
    assert_eq!(lost("olga", "key-of-ada", "2"), (200, Some(false)), "the same person twice is one");
    assert_eq!(lost("omar", "key-of-ada", "3"), (200, Some(true)));
    assert_eq!(lost("olga", "key-of-olga", "4"), (200, Some(true)), "one's own ends at once");
    assert_eq!(lost("olga", "key-of-nobody", "5").0, 404);
}

#[test]
fn what_the_charter_would_say_is_explained_before_anybody_asks() {
    let town = Town::with_coins();
    let explain = |amount: u64, approvers: &[&str], destination: &str, customer: &str| {
        let body = json!({
            "wallet": "hot", "destination": destination, "amount": amount.to_string(), "customer": customer, "approvers": approvers,
        });
        town.olga().post("/v1/policy/explain", &format!("{amount}{approvers:?}{customer}"), &body).unwrap()
    };
    let outside = town.outside();
    assert_eq!(text(&explain(1_000_000, &[], &outside, "alice"), "/rule"), "automatic");
    let large = explain(60_000_000, &["olga"], &outside, "alice");
    assert_eq!(text(&large, "/outcome"), "waiting");
    assert!(large.to_string().contains("needs 2 people of 2 organisations, counted are 1 of 1"), "{large}");
    assert_eq!(text(&explain(60_000_000, &["olga", "omar"], &outside, "alice"), "/rule"), "quorum");
    assert_eq!(text(&explain(60_000_000, &["omar"], "cold", ""), "/rule"), "sweep");
    assert_eq!(text(&explain(900_000_000, &["olga", "omar"], &outside, "alice"), "/rule"), "amount-max");
    assert_eq!(town.olga().get("/v1/withdrawals").unwrap()["items"], json!([]));
}

#[test]
fn one_signer_is_frozen_alone() {
    let town = Town::start();
    let freeze = |latch: &str| {
        let body = json!({"latch": latch, "reason": "its host looks odd"}).to_string();
        town.olga().ask("POST", "/v1/freeze", latch, &body).unwrap()
    };
    let answer = freeze("signer:s9");
    assert!(answer.status == 503 && text(&answer.body, "/detail").contains("names no signer:s9"), "{}", answer.body);
    assert_eq!(freeze("signer:s2").body["frozen"], json!(["s2"]));
    let signers = town.olga().get("/v1/signers").unwrap();
    let latches: Vec<_> = signers["items"].as_array().unwrap().iter().map(|signer| signer["latches"].clone()).collect();
    assert_eq!(latches, [json!([]), json!(["all"]), json!([])]);
}
