//! Sessions at the console: every sign-in and refusal is on record, and whoever may ends them at once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use std::io::Read as _;

use claviger::config::Restriction;
use common::thief::Thief;
use common::{Town, text};
use serde_json::json;
use testkit::{Ceremony, Passkey};

fn at_the_console(town: &Town, terminal: &str) -> Thief {
    Thief::new(&town.house.charter.relying_party.origin, (String::new(), terminal.to_owned()))
}

/// Entries of the audit log with this action, oldest first: who, to what, and the words.
fn entries(town: &Town, action: &str) -> Vec<(String, String, String)> {
    let audit = town.olga().get("/v1/audit?limit=500").unwrap();
    let entries = audit["items"].as_array().unwrap().iter().filter(|entry| text(entry, "/action") == action);
    entries.map(|entry| (text(entry, "/actor"), text(entry, "/subject"), text(entry, "/detail"))).collect()
}

#[test]
fn every_sign_in_and_refusal_is_on_record_with_person_source_and_terminal() {
    let closed = Restriction {
        role: "administrator".to_owned(),
        hours: String::new(),
        networks: vec!["10.9.0.0/16".to_owned()],
        device_bound: false,
    };
    let town = Town::start_with(|config| config.console.restrictions = vec![closed.clone()]);
    let [olgas, adas, strangers] = [1, 2, 3].map(|number| Passkey::new([number; 32]).unwrap());
    town.enrolled("olga", &olgas);
    town.enrolled("ada", &adas);
    let mut terminal = at_the_console(&town, "Terminal 7");
    terminal.sign_in(&olgas);
    let signed_in = entries(&town, "operator.signed-in");
    assert_eq!(signed_in.len(), 1);
    let (who, with, words) = &signed_in[0];
    assert_eq!((who.as_str(), with), ("operator:olga", &olgas.credential));
    assert!(words.contains("from 127.0.0.1, Terminal 7"), "{words}");

    let challenge = || {
        let (_, body) = terminal.json("/console/sign-in/begin", &json!({}));
        text(&serde_json::from_str(&body).unwrap(), "/challenge")
    };
    let finish = |passkey: &Passkey, challenge: &str, flags: u8| {
        let ceremony = Ceremony::new("localhost", &terminal.origin, &hex::decode(challenge).unwrap());
        let assertion = passkey.assert(&Ceremony { flags, ..ceremony });
        terminal.json("/console/sign-in/finish", &json!({"challenge": challenge, "assertion": assertion})).0
    };
    // Not verified; from elsewhere than the role may come; nobody's passkey; a challenge a second time; links that are none.
    assert_eq!(finish(&olgas, &challenge(), 1), 403);
    assert_eq!(finish(&adas, &challenge(), 5), 403);
    assert_eq!(finish(&strangers, &challenge(), 5), 403);
    let used = challenge();
    assert_eq!((finish(&olgas, &used, 1), finish(&olgas, &used, 5)), (403, 403));
    assert_eq!(terminal.json("/console/enrol/begin", &json!({"secret": "guessed"})).0, 404);
    let refused = entries(&town, "access.refused");
    let expected = [
        ("operator:olga", "sign-in", "did not verify the person"),
        ("operator:ada", "sign-in", "is bound to 10.9.0.0/16"),
        ("stranger", "sign-in", "not enrolled here"),
        ("operator:olga", "sign-in", "did not verify the person"),
        ("stranger", "sign-in", "was tried before"),
        ("stranger", "enrol", "not one of ours"),
    ];
    assert_eq!(refused.len(), expected.len(), "{refused:?}");
    for ((who, what, words), (actor, subject, part)) in refused.iter().zip(expected) {
        assert_eq!((who.as_str(), what.as_str()), (actor, subject));
        assert!(words.contains(part) && words.contains("from 127.0.0.1, Terminal 7"), "{words}");
    }

    // Whoever knocks without end fills no disk.
    for _ in 0..200 {
        assert_eq!(terminal.json("/console/enrol/begin", &json!({"secret": "guessed"})).0, 404);
    }
    let written = entries(&town, "access.refused").len() - refused.len();
    assert!((40..=180).contains(&written), "{written}");
}

#[test]
fn t04_a_session_is_ended_by_its_owner_and_by_others_and_its_open_page_with_it() {
    let town = Town::start();
    let passkey = Passkey::new([1; 32]).unwrap();
    town.enrolled("olga", &passkey);
    let mut first = at_the_console(&town, "first");
    first.sign_in(&passkey);
    let open = |thief: &Thief| thief.get("/console").0 == 200;
    assert!(open(&first));
    let sessions = || town.olga().get("/v1/sessions").unwrap();
    let name = text(&sessions(), "/items/0/id");
    let end = |who: &str, id: &str, key: &str| {
        let answer = town.house.operator(who).unwrap().ask("POST", &format!("/v1/sessions/{id}/end"), key, "").unwrap();
        (answer.status, text(&answer.body, "/code"))
    };
    // Its name opens nothing.
    let named = Thief { cookies: format!("__Host-claviger={name}"), ..at_the_console(&town, "first") };
    assert!(!open(&named));
    // Something has happened, so that there is something to tell.
    town.olga().post("/v1/freeze", "freeze", &json!({"latch": "customer:bob", "reason": "a drill"})).unwrap();
    // A page that is open learns it at once: its stream ends, and another is not begun.
    let request = first.agent.get(format!("{}/console/live", first.origin)).header("cookie", &first.cookies);
    let answer = request.header("user-agent", &first.terminal).call().unwrap();
    let mut stream = answer.into_body().into_reader();
    let mut told = [0; 13];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"event: change");
    assert_eq!(end("omar", &name, "1").0, 200);
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert!(!open(&first));
    assert_eq!(first.get("/console/live").0, 303);
    assert_eq!(end("omar", &name, "2").0, 200, "once more is no error");
    assert_eq!(end("omar", "none", "3"), (404, "not-found".to_owned()));
    let ended = entries(&town, "session.ended");
    assert!(ended.len() == 1 && ended[0].0 == "operator:omar" && ended[0].2.contains("of olga"), "{ended:?}");

    // From another browser she ends one that she left open somewhere.
    let (mut left, mut here) = (at_the_console(&town, "left open"), at_the_console(&town, "here"));
    left.sign_in(&passkey);
    let name = text(&sessions(), "/items/0/id");
    here.sign_in(&passkey);
    assert!(here.get("/console/operators").1.contains(&format!("/console/sessions/{name}/end")));
    assert_eq!(here.form(&format!("/console/sessions/{name}/end"), "").0, 303);
    assert_eq!((open(&left), open(&here)), (false, true));
}

#[test]
fn the_audit_log_is_taken_along_with_its_proof() {
    let town = Town::start();
    let passkey = Passkey::new([1; 32]).unwrap();
    town.enrolled("olga", &passkey);
    let mut olga = at_the_console(&town, "olga's");
    assert_eq!(olga.get("/console/audit/export").0, 303, "not without a session");
    olga.sign_in(&passkey);
    town.olga().post("/v1/freeze", "freeze", &json!({"latch": "customer:bob", "reason": "a drill"})).unwrap();
    let read = |path: &str| {
        let (status, text) = olga.get(path);
        assert_eq!(status, 200);
        let mut verifier = audit_log::Verifier::default();
        let entries: Vec<_> = text.lines().map(|line| verifier.line(line).unwrap()).collect();
        (entries[0].seq, verifier.verdict().unwrap())
    };
    let (first, all) = read("/console/audit/export");
    let page = olga.get("/console/audit").1;
    assert!(first == 1 && page.contains(&all.head.to_string()), "{page}");
    let (first, part) = read("/console/audit/export?after=1");
    assert_eq!((first, part.head, part.entries), (2, all.head, all.entries - 1));
}
