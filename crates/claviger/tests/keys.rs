//! The keys of a running house: closed keys make payments wait, people renew what lets them be opened, and the board says so.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use std::process::Command;

use claviger::dev::until;
use common::desk::Desk;
use common::{Town, text};
use serde_json::{Value, json};

/// Somebody's approval of a proposal, with an SSH key.
fn approve(town: &Town, name: &str, id: &str) -> Value {
    let client = town.house.operator(name).unwrap();
    let digest = text(&client.get(&format!("/v1/proposals/{id}")).unwrap(), "/digest").parse().unwrap();
    let signature = town.house.people.sign(name, "claviger-approval", &digest).unwrap().signature;
    let path = format!("/v1/proposals/{id}/approvals");
    client.post(&path, &format!("{name}-{id}"), &json!({"signature": signature})).unwrap()
}

/// The key of the hot wallet at a signer.
fn hot(town: &Town, signer: &str) -> Value {
    let board = town.olga().get("/v1/keys").unwrap();
    let own = board["items"].as_array().unwrap().iter().find(|one| one["signer"] == signer).unwrap().clone();
    own["keys"].as_array().unwrap().iter().find(|key| key["wallet"] == "hot").unwrap().clone()
}

#[test]
fn payments_wait_for_closed_keys_and_go_on_when_a_quorum_and_the_holders_open_them() {
    let town = Town::with_coins();
    for place in 0..3 {
        town.house.fleet.close(place).unwrap();
    }
    let key = hot(&town, "s1");
    assert_eq!((key["state"].as_str(), key["open"].as_bool()), (Some("inactive"), Some(false)));
    assert_eq!(key["person"], "kim");
    town.until_alarm("key", "is closed at s1; its holders may open it");
    let id = text(&town.withdraw("alice", "closed", &Town::withdrawal(1_000_000, &town.outside())).body, "/id");
    town.until_alarm("signers", "key-inactive");

    // Asked for, agreed by two who did not ask, and opened by two who do not administer the machines.
    let wanted = json!({"key-step": {"signer": "all", "step": "activate", "wallet": "hot", "seconds": 3_600,
        "signatures": 50, "reason": "the morning"}});
    let oona = town.house.operator("oona").unwrap();
    let proposal = text(&oona.post("/v1/proposals", "morning", &wanted).unwrap(), "/id");
    assert_eq!(approve(&town, "olga", &proposal)["state"], "open");
    assert_eq!(approve(&town, "omar", &proposal)["outcome"], "done at s1, s2, s3");
    let key = hot(&town, "s2");
    assert_eq!((key["open"].as_bool(), key["signatures_left"].as_u64()), (Some(false), Some(50)));
    town.house.fleet.open(0).unwrap();
    town.house.fleet.open(1).unwrap();
    town.reaches(&id, "broadcast");
    assert_eq!(hot(&town, "s1")["signatures_left"], 49);
    town.until_alarm("key", "closes at");

    // What the charter does not allow is refused before anybody is asked.
    for (body, code) in [
        (
            json!({"signer": "all", "step": "activate", "wallet": "hot", "seconds": 999_999_999, "signatures": 1, "reason": "x"}),
            422,
        ),
        (
            json!({"signer": "all", "step": "activate", "wallet": "none-such", "seconds": 1, "signatures": 1, "reason": "x"}),
            422,
        ),
        (json!({"signer": "all", "step": "activate", "wallet": "hot", "reason": "x"}), 422),
        (json!({"signer": "s9", "step": "backup", "reason": "x"}), 422),
        (json!({"signer": "s1", "step": "melt", "reason": "x"}), 422),
    ] {
        let wanted = json!({"key-step": body}).to_string();
        let answer = oona.ask("POST", "/v1/proposals", &format!("bad-{}", wanted.len()), &wanted);
        assert_eq!(answer.unwrap().status, code, "{body}");
    }

    // A step of people at a signer's own machine is agreed here and done there.
    let backup = json!({"key-step": {"signer": "s1", "step": "backup", "reason": "the year"}});
    let proposal = text(&oona.post("/v1/proposals", "year", &backup).unwrap(), "/id");
    approve(&town, "olga", &proposal);
    assert_eq!(approve(&town, "omar", &proposal)["outcome"], "agreed; to be done at the machine of signer s1");

    // What was written down at a ceremony is kept word for word, once.
    let transcript = json!({"transcript": r#"{"ceremony":"first-seeds","network":"regtest","parties":[]}"#});
    let kept = town.olga().post("/v1/transcripts", "t1", &transcript).unwrap();
    assert_eq!(town.olga().post("/v1/transcripts", "t2", &transcript).unwrap(), kept);
    let audit = town.olga().get("/v1/audit?after=0&limit=500").unwrap().to_string();
    assert_eq!(audit.matches("first-seeds").count(), 1, "{audit}");
    for nonsense in ["", "[]", r#"{"ceremony":""}"#, r#"{"ceremony":"x"}"#] {
        let answer = town.olga().post("/v1/transcripts", "t3", &json!({"transcript": nonsense}));
        assert!(answer.unwrap_err().contains("transcript"));
    }

    let address = format!("http://{}", town.house.service.operators);
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(["--url", &address, "--key"]).arg(town.house.people.key_file("olga")).arg("keys");
    let words = String::from_utf8(command.output().unwrap().stdout).unwrap();
    for part in ["signature", "seed", "sealing", "shares 2 of 3", "kai, kim, kit", "cora", "c1"] {
        assert!(words.contains(part), "{part} is missing in:\n{words}");
    }
}

#[test]
fn the_console_shows_the_board_and_people_open_keys_with_passkeys() {
    let mut desk = Desk::start(Town::with_coins());
    let ada = desk.person("ada");
    let [olga, omar, oona] = ["olga", "omar", "oona"].map(|name| desk.person(name));
    desk.name_passkeys(&ada);
    desk.town.house.fleet.close(2).unwrap();
    desk.open(&oona, "/console/keys");
    desk.browser.shows(&oona, "no network").unwrap();
    let form = "form[action='/console/keys/propose']";
    desk.browser.fill(&oona, &format!("{form} input[name=seconds]"), "3600").unwrap();
    desk.browser.fill(&oona, &format!("{form} input[name=signatures]"), "77").unwrap();
    desk.browser.fill(&oona, &format!("{form} input[name=reason]"), "the evening").unwrap();
    desk.browser.click(&oona, &format!("{form} button")).unwrap();
    desk.browser.shows(&oona, "for 3600 seconds and 77 signatures").unwrap();
    let proposal = desk.browser.eval(&oona, "location.pathname").unwrap().as_str().unwrap().to_owned();
    desk.approve(&olga, &proposal);
    desk.browser.shows(&olga, "needs 1 more").unwrap();
    desk.approve(&omar, &proposal);
    desk.browser.shows(&omar, "needs 1 more who signs with an SSH key").unwrap();
    desk.sign("omar", "claviger-approval", proposal.rsplit('/').next().unwrap());
    desk.open(&omar, &proposal);
    desk.browser.shows(&omar, "done at s1, s2, s3").unwrap();
    desk.town.house.fleet.open(2).unwrap();
    until("the key is open", || Ok((hot(&desk.town, "s3")["open"] == true).then_some(()))).unwrap();
    desk.open(&olga, "/console/keys");
    desk.browser.shows(&olga, "77").unwrap();
    desk.pictures_of_keys(&olga);
    assert_eq!(desk.complaints(&olga), Vec::<String>::new());
}
