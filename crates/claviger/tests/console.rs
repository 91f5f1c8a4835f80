//! The console in a real Chromium with a virtual authenticator: people enrol, sign in, decide; and what attackers try there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use std::time::{Duration, Instant};

use common::desk::Desk;
use common::thief::Thief;
use common::{Town, text};
use serde_json::json;
use testkit::{Passkey, Window};

/// Every page, by its path below the console.
const PAGES: [&str; 14] = [
    "",
    "/withdrawals",
    "/transfers",
    "/cold",
    "/decisions",
    "/deposits",
    "/wallets",
    "/books",
    "/signers",
    "/keys",
    "/operators",
    "/charter",
    "/audit",
    "/events",
];

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

    // The charter changes by a passkey and an SSH key: pages alone decide about no rules. With two approvers of whom the one who asks does
    // not count, one has to release.
    let mut charter = desk.town.olga().get("/v1/charter").unwrap();
    charter["release_quorum"] = json!({"people": "1", "organisations": "1"});
    let id = desk.propose_charter(&ada, &charter);
    for (person, then) in [(&olga, "needs 1 more"), (&omar, "needs 1 more who signs with an SSH key")] {
        desk.approve(person, &format!("/console/decisions/{id}"));
        desk.browser.shows(person, then).unwrap();
    }
    desk.sign_charter("omar", &id);
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
    desk.browser.shows(&omar, "needs 1 more who signs with an SSH key").unwrap();
    desk.sign("omar", "claviger-approval", proposal.rsplit('/').next().unwrap());
    desk.open(&omar, &proposal);
    desk.browser.shows(&omar, "done at s1, s2, s3").unwrap();
    let small = text(&small.body, "/id");
    desk.town.reaches(&small, "broadcast");

    // Every page is there for everybody who may read, and the browser has nothing to complain about.
    for page in PAGES {
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
    assert_eq!(desk.complaints(&ada), Vec::<String>::new());
    desk.browser.click(&ada, "form[action='/console/sign-out'] button").unwrap();
    desk.browser.shows(&ada, "Sign in with a passkey").unwrap();
    desk.town.assert_books();
}

/// No page is wider than the screen, whatever stands on it.
fn fits(desk: &mut Desk, window: &Window, path: &str) {
    for (width, dark) in [(390, false), (390, true), (1280, false)] {
        desk.browser.size(window, width, 844, dark).unwrap();
        desk.open(window, path);
        let wide = desk.browser.eval(window, "document.documentElement.scrollWidth").unwrap();
        let widest = "[...document.querySelectorAll('main *')].filter(one => !one.closest('.scroll, details.act')).sort((a, b) => \
                      b.getBoundingClientRect().right - a.getBoundingClientRect().right)[0].outerHTML.slice(0, 300)";
        let widest = desk.browser.eval(window, widest).unwrap();
        assert!(wide.as_u64().unwrap() <= u64::from(width), "{path} is {wide} wide on a screen of {width}: {widest}");
        // Freezing is in reach without scrolling.
        let place = "(r => r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth)(document.querySelector('#freeze-open').getBoundingClientRect())";
        assert_eq!(desk.browser.eval(window, place).unwrap(), true, "{path} at {width}");
    }
}

#[test]
fn pages_fit_a_phone_are_used_from_the_keyboard_and_say_so_when_they_are_empty() {
    let mut desk = Desk::start(Town::start());
    let olga = desk.person("olga");
    for page in PAGES {
        fits(&mut desk, &olga, &format!("/console{page}"));
    }
    for (page, words) in [
        ("/withdrawals", "Nothing waits for anybody"),
        ("/deposits", "No coin has arrived yet"),
        ("/wallets", "No address was given out yet"),
        ("/decisions", "Nothing was proposed yet"),
        ("/events?after=0", "names no webhook"),
        ("", "Nothing is under way"),
    ] {
        desk.open(&olga, &format!("/console{page}"));
        desk.browser.shows(&olga, words).unwrap();
    }

    // From the keyboard alone: past the pages' names, and to the way to freeze and back.
    desk.open(&olga, "/console/books");
    desk.browser.press(&olga, "Tab").unwrap();
    desk.browser.until(&olga, "document.activeElement.className === 'skip'").unwrap();
    desk.browser.press(&olga, "Enter").unwrap();
    desk.browser.until(&olga, "location.hash === '#content'").unwrap();
    desk.browser.eval(&olga, "document.querySelector('#freeze-open').focus()").unwrap();
    desk.browser.press(&olga, "Enter").unwrap();
    desk.browser.until(&olga, "document.activeElement.name === 'latch'").unwrap();
    desk.browser.press(&olga, "Escape").unwrap();
    desk.browser.until(&olga, "document.activeElement.id === 'freeze-open'").unwrap();
    assert_eq!(desk.browser.eval(&olga, "document.querySelector('details.act').open").unwrap(), false);

    // What is wrong is said in plain words, whatever was sent.
    desk.open(&olga, "/console/no-such-page");
    desk.browser.shows(&olga, "there is no such page").unwrap();
    desk.open(&olga, "/console/transfers");
    desk.browser.fill(&olga, "main input[name=amount]", "much").unwrap();
    desk.browser.click(&olga, "form[action='/console/transfers'] button").unwrap();
    desk.browser.shows(&olga, "Nothing was done. (Status 422)").unwrap();
    desk.open(&olga, "/console/transfers");
    desk.browser.eval(&olga, "document.querySelector('main input[name=amount]').remove()").unwrap();
    desk.browser.click(&olga, "form[action='/console/transfers'] button").unwrap();
    desk.browser.shows(&olga, "the form cannot be read").unwrap();

    // With payments, long addresses and a charter change on them.
    let address = desk.town.address("alice", "a rather long label that somebody has chosen for this address");
    desk.town.house.node.pay(&address, 100_000_000).unwrap();
    let float = desk.town.olga().post("/v1/float/addresses", "float", &serde_json::Value::Null).unwrap();
    desk.town.house.node.pay(&text(&float, "/address"), 2_000_000).unwrap();
    desk.town.house.node.mine(3).unwrap();
    desk.town.until_available("alice", 100_000_000);
    let destination = desk.town.outside();
    let id = desk.large("large", &destination);
    let small = text(&desk.town.withdraw("alice", "small", &Town::withdrawal(1_000_000, &destination)).body, "/id");
    desk.town.reaches(&small, "broadcast");
    let ada = desk.person("ada");
    let mut charter = desk.town.olga().get("/v1/charter").unwrap();
    charter["address_book_seconds"] = json!("60");
    let proposal = desk.propose_charter(&ada, &charter);
    let pages = PAGES.map(|page| format!("/console{page}"));
    let more = [
        format!("/console/payments/{id}"),
        format!("/console/payments/{small}"),
        format!("/console/decisions/{proposal}"),
    ];
    for page in pages.iter().chain(&more) {
        fits(&mut desk, &olga, page);
    }
    // Who is needed is said with where they can come from, and the transaction is there once it exists.
    desk.open(&olga, &more[0]);
    desk.browser.shows(&olga, "needs 2 more from Eastfund or Northbank or Southtrust").unwrap();
    desk.open(&olga, &more[1]);
    desk.browser.shows(&olga, "this payment").unwrap();
    // Statuses of refused requests are all that the browser complains about.
    let complaints = desk.complaints(&olga);
    assert!(complaints.iter().all(|words| words.contains("responded with a status of 4")), "{complaints:?}");
}

#[test]
fn a_signer_that_hangs_holds_up_neither_pages_nor_freezing() {
    let town = Town::start();
    let passkey = Passkey::new([1; 32]).unwrap();
    town.enrolled("olga", &passkey);
    let mut olga =
        Thief::new(&town.house.charter.relying_party.origin, (String::new(), "a browser of her own".to_owned()));
    olga.sign_in(&passkey);
    town.house.fleet.hang(2, true).unwrap();
    // Half a minute is what a hanging signer is given when it is to sign.
    let start = Instant::now();
    let (status, page) = olga.get("/console");
    assert!(status == 200 && page.contains("away"), "{page}");
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    let start = Instant::now();
    let answer = town.olga().post("/v1/freeze", "freeze", &json!({"latch": "all", "reason": "it smells"})).unwrap();
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    assert_eq!(answer["frozen"], json!(["s1", "s2"]));
    town.house.fleet.hang(2, false).unwrap();
}

#[test]
fn a_latch_is_closed_within_a_second() {
    let town = Town::with_coins();
    let latches = ["customer:alice", "customer:bob", "wallet:cold", "signer:s3", "wallet:hot", "all"];
    // The fastest of six: another process on this machine can hold one up, but not a signer that looks only now and then.
    let times = latches.map(|latch| {
        let start = Instant::now();
        let body = json!({"latch": latch, "reason": "a drill"});
        town.olga().post("/v1/freeze", latch, &body).unwrap();
        let taken = start.elapsed();
        let signers = town.olga().get("/v1/signers").unwrap();
        let name = latch.strip_prefix("signer:").map_or(latch, |_| "all");
        let closed =
            signers["items"].as_array().unwrap().iter().filter(|one| one["latches"].to_string().contains(name));
        assert!(closed.count() >= if latch == "signer:s3" { 1 } else { 3 }, "{latch}: {signers}");
        taken
    });
    assert!(times.iter().min().unwrap() < &Duration::from_secs(1), "{times:?}");
}
