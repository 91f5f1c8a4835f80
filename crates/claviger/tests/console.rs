//! The console in a real Chromium with a virtual authenticator: people enrol, sign in, decide; and what attackers try there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use common::desk::Desk;
use common::{Town, text};
use serde_json::json;

#[test]
fn people_enrol_sign_in_approve_refuse_freeze_and_change_the_charter() {
    let mut desk = Desk::start(Town::with_coins());
    let ada = desk.person("ada");
    let olga = desk.person("olga");
    let omar = desk.person("omar");

    // A passkey that the charter does not name opens pages and approves nothing.
    let destination = desk.town.outside();
    let first = desk.large("before", &destination);
    desk.open(&olga, &format!("/console/payments/{first}"));
    desk.browser.shows(&olga, "The charter names no passkey of yours").unwrap();

    // The charter comes to name them: proposed in the console, signed, in force at every signer, the system begins anew.
    desk.name_passkeys(&ada);
    desk.town.reaches(&first, "refused");

    // Two people of two organisations approve by passkey; every signer counts for itself.
    let id = desk.large("two", &destination);
    let path = format!("/console/payments/{id}");
    desk.approve(&olga, &path);
    desk.browser
        .until(&olga, "document.querySelector('#what') && document.body.innerText.includes('counted are 1 of 1')")
        .unwrap();
    assert_eq!(desk.town.state(&id).unwrap(), "awaiting-approval");
    // Not verified: the authenticator says so, and nothing is sent.
    desk.browser.verified(&omar, false).unwrap();
    desk.approve(&omar, &path);
    desk.browser.shows(&omar, "could not verify you").unwrap();
    desk.browser.verified(&omar, true).unwrap();
    desk.approve(&omar, &path);
    desk.town.reaches(&id, "broadcast");
    // The page that stays open shows it by itself.
    desk.browser.shows(&olga, "this payment").unwrap();
    let shown = desk.town.payment(&id).unwrap();
    let words = text(&shown, "/words");
    assert_eq!(desk.browser.eval(&olga, "document.querySelector('#words').textContent").unwrap(), words.as_str());
    desk.town.house.node.mine(1).unwrap();
    desk.town.reaches(&id, "settled");

    // One refuses, and the coins are free again.
    let refused = desk.large("refused", &destination);
    desk.open(&olga, &format!("/console/payments/{refused}"));
    desk.browser.click(&olga, "#stop").unwrap();
    desk.browser.shows(&olga, "stopped by operator:olga").unwrap();
    assert_eq!(desk.town.state(&refused).unwrap(), "cancelled");

    // The charter changes by passkeys alone: with two approvers of whom the one who asks does not count, one has to release.
    let mut charter = desk.town.olga().get("/v1/charter").unwrap();
    charter["release_quorum"] = json!({"people": "1", "organisations": "1"});
    let id = desk.propose_charter(&ada, &charter);
    for (person, then) in [(&olga, "needs 1 more"), (&omar, "in force at s1, s2, s3")] {
        desk.approve(person, &format!("/console/decisions/{id}"));
        desk.browser.shows(person, then).unwrap();
    }
    desk.until_version(3);

    // One freezes by a button on every page; signers sign nothing; another who did not ask opens it again.
    desk.open(&ada, "/console/books");
    desk.browser.fill(&ada, "details.act input[name=reason]", "a drill").unwrap();
    desk.browser.click(&ada, "#freeze").unwrap();
    desk.browser.shows(&ada, "Frozen:").unwrap();
    let small = desk.town.withdraw("alice", "frozen", &Town::withdrawal(1_000_000, &destination));
    desk.town.until_alarm("signers", "frozen");
    desk.open(&olga, "/console/decisions");
    desk.browser.fill(&olga, "main input[name=reason]", "the drill is over").unwrap();
    desk.browser.click(&olga, "form[action='/console/decisions/unfreeze/propose'] button").unwrap();
    desk.browser.shows(&olga, "your approval would not count").unwrap();
    let proposal = desk.browser.eval(&olga, "location.pathname").unwrap().as_str().unwrap().to_owned();
    assert!(desk.town.olga().get("/v1/signers").unwrap().to_string().contains("\"all\""));
    desk.approve(&omar, &proposal);
    desk.browser.shows(&omar, "done at s1, s2, s3").unwrap();
    let small = text(&small.body, "/id");
    desk.town.reaches(&small, "broadcast");

    // Every page is there for everybody who may read, and the browser has nothing to complain about.
    let pages = [
        "",
        "/withdrawals",
        "/transfers",
        "/cold",
        "/decisions",
        "/deposits",
        "/wallets",
        "/books",
        "/signers",
        "/operators",
        "/charter",
        "/audit",
        "/events",
    ];
    for page in pages {
        desk.open(&ada, &format!("/console{page}"));
        assert_eq!(
            desk.browser.eval(&ada, "document.querySelectorAll('nav a[aria-current]').length").unwrap(),
            1,
            "{page}"
        );
    }
    desk.pictures(&olga);
    desk.open(&ada, "/console/audit");
    desk.browser.shows(&ada, "Recomputed just now").unwrap();
    assert_eq!(desk.browser.complaints(&ada).unwrap(), Vec::<String>::new());
    desk.browser.click(&ada, "form[action='/console/sign-out'] button").unwrap();
    desk.browser.shows(&ada, "Sign in with a passkey").unwrap();
    desk.town.assert_books();
}
