//! What attackers try at the console: stolen sessions, other sites, pages that lie, rows that were never enrolled, scripts in labels.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::path::Path;
use std::process::Command;

use common::desk::Desk;
use common::thief::Thief;
use common::{ASSET, Town, text};
use serde_json::json;
use testkit::{Ceremony, Passkey};

#[test]
fn t04_stolen_sessions_raise_no_limit_and_move_no_coin() {
    let mut desk = Desk::start(Town::with_coins());
    let (ada, olga, omar) = (desk.person("ada"), desk.person("olga"), desk.person("omar"));
    desk.name_passkeys(&ada);
    let origin = desk.origin();
    let destination = desk.town.outside();
    // An honest approval, which the thief has seen.
    let honest = desk.large("honest", &destination);
    desk.open(&olga, &format!("/console/payments/{honest}"));
    let seen = desk
        .browser
        .eval(&olga, "assertion(fromHex(document.querySelector('#approve').dataset.digest), [])")
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned();

    let mut thieves = Vec::new();
    for window in [&ada, &olga, &omar] {
        let stolen = desk.browser.stolen(window, &origin).unwrap();
        thieves.push(Thief::new(&origin, stolen));
    }
    let [as_ada, as_olga, as_omar] = thieves.try_into().ok().unwrap();
    assert_eq!(as_olga.get("/console").0, 200, "the session is really stolen");

    // The Bitfinex way: raise the limits, then send two thousand withdrawals.
    let charter = desk.town.olga().get("/v1/charter").unwrap();
    let mut raised = charter.clone();
    for tier in raised["tiers"].as_array_mut().unwrap() {
        tier["amount_max"] = json!("2100000000000000");
        tier["quorum"] = json!({"people": "0", "organisations": "0"});
        tier["windows"] = json!([{"seconds": "60", "amount_max": "2100000000000000"}]);
    }
    let base = policy::Charter::from_bytes(charter.to_string().as_bytes()).unwrap().digest().to_string();
    let encoded: String = raised.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let form = format!("base={base}&key=raise&charter={encoded}");
    assert_eq!(as_olga.form("/console/charter", &form).0, 403, "approvers propose no charters");
    assert_eq!(as_ada.form("/console/charter", &form).0, 303);
    let proposals = desk.town.olga().get("/v1/proposals").unwrap();
    let proposal = proposals["items"].as_array().unwrap().iter().find(|one| one["state"] == "open").unwrap();
    let path = format!("/console/decisions/{}/approve", text(proposal, "/id"));
    for thief in [&as_olga, &as_omar] {
        for signature in ["", "{}", seen.as_str()] {
            assert_eq!(thief.json(&path, &json!({"signature": signature})).0, 403, "{signature}");
        }
    }
    assert_eq!(as_ada.json(&path, &json!({"signature": seen})).0, 403);

    let mut asked = 0;
    for number in 0..2_000 {
        let form = format!("key=t{number}&wallet=hot&destination_wallet=cold&amount=0.001");
        let (status, _) = as_olga.form("/console/transfers", &form);
        assert!([303, 422].contains(&status), "{status}");
        asked += 1;
        if status == 422 {
            // Everything is held: nothing more can even be asked for.
            break;
        }
    }
    assert!(asked > 100, "{asked}");
    let waiting = desk.town.olga().get("/v1/transfers?limit=500").unwrap();
    for transfer in waiting["items"].as_array().unwrap() {
        assert!(["held", "screened", "awaiting-approval"].contains(&text(transfer, "/state").as_str()), "{transfer}");
    }
    // The assertion that was seen approves the payment that it was made for, once, and no other.
    let other = waiting["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(as_omar.json(&format!("/console/payments/{other}/approve"), &json!({"signature": seen})).0, 403);
    assert_eq!(as_omar.json(&format!("/console/payments/{honest}/approve"), &json!({"signature": seen})).0, 403);
    assert_eq!(desk.town.received(&destination), (0, 0));
    assert_eq!(text(&desk.town.olga().get("/v1/charter").unwrap(), "/version"), "2");

    // In another browser the session ends, and the attempt is on record.
    let elsewhere = Thief { terminal: "curl/8".to_owned(), ..as_olga };
    assert_eq!(elsewhere.get("/console").0, 303);
    let again = Thief { terminal: as_omar.terminal.clone(), ..elsewhere };
    assert_eq!(again.get("/console").0, 303, "it has ended for everybody");
    let audit = desk.town.olga().get("/v1/audit?limit=500").unwrap().to_string();
    assert!(audit.contains("access.refused"), "refusals are on record");
}

#[test]
fn t08_other_sites_other_names_and_lying_pages_get_nothing() {
    let mut desk = Desk::start(Town::with_coins());
    let (ada, olga) = (desk.person("ada"), desk.person("olga"));
    desk.name_passkeys(&ada);
    let origin = desk.origin();
    let stolen = desk.browser.stolen(&olga, &origin).unwrap();
    let thief = Thief::new(&origin, stolen);

    // Another site sends a form with the cookie, as an old browser would.
    let freeze = "latch=all&reason=mischief";
    for foreign in ["https://evil.example", "null", "http://localhost:1"] {
        let (status, page) = thief.send("/console/freeze", foreign, "application/x-www-form-urlencoded", freeze);
        assert!(status == 403 && page.contains("another site"), "{foreign}: {status}");
    }
    assert!(!desk.town.olga().get("/v1/signers").unwrap().to_string().contains("\"all\""));
    // A name that was rebound to this machine.
    let numbers = Thief { origin: origin.replace("localhost", "127.0.0.1"), ..thief };
    assert_eq!(numbers.get("/console").0, 421);

    // The page shows A and asks to sign B.
    let destination = desk.town.outside();
    let (shown, signed) = (desk.large("shown", &destination), desk.large("signed", &destination));
    let other = text(&desk.town.payment(&signed).unwrap(), "/digest");
    desk.open(&olga, &format!("/console/payments/{shown}"));
    let change = format!("document.querySelector('#approve').dataset.digest = '{other}'");
    desk.browser.eval(&olga, &change).unwrap();
    desk.browser.click(&olga, "#approve").unwrap();
    desk.browser.shows(&olga, "it was made over another instruction").unwrap();
    for id in [&shown, &signed] {
        assert_eq!(desk.town.payment(id).unwrap()["approvals"], json!([]));
    }
    // On another machine the words of what is really asked are other words.
    let canonical = text(&desk.town.payment(&signed).unwrap(), "/canonical");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("instruction.json");
    std::fs::write(&file, canonical).unwrap();
    let verify = Path::new(env!("CARGO_BIN_EXE_claviger")).with_file_name("claviger-verify");
    let output = Command::new(verify).arg("instruction").arg(&file).output();
    let output = output.expect("claviger-verify is needed: run cargo build --workspace --bins");
    let words = desk.browser.eval(&olga, "document.querySelector('#words').textContent").unwrap();
    let verified = String::from_utf8(output.stdout).unwrap();
    assert!(!verified.contains(words.as_str().unwrap()), "{verified}");

    // Markup in a customer's label and in a reason is shown as what it is.
    let evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";
    let body = json!({"asset": ASSET.to_string(), "label": evil});
    desk.town.alice().post("/v1/addresses", "evil", &body).unwrap();
    desk.town.olga().post("/v1/freeze", "evil", &json!({"latch": "customer:bob", "reason": evil})).unwrap();
    for page in ["/wallets", "/audit", "/signers", "/events", "/decisions"] {
        desk.open(&olga, &format!("/console{page}"));
        assert!(desk.browser.eval(&olga, "document.title").unwrap().as_str().unwrap().ends_with("Claviger"), "{page}");
        assert_eq!(desk.browser.eval(&olga, "document.querySelectorAll('main img, main script').length").unwrap(), 0);
    }
    desk.open(&olga, "/console/wallets");
    desk.browser.shows(&olga, "<img src=x onerror=").unwrap();
    // And if it were not, the policy stands before it.
    let written = desk.browser.eval(&olga, "document.querySelector('main').innerHTML = '<b>x</b>'");
    assert!(written.unwrap_err().contains("TrustedHTML"));
}

#[test]
fn t08_rows_of_the_database_open_pages_and_approve_nothing() {
    let town = Town::with_coins();
    let origin = town.house.charter.relying_party.origin.clone();
    let forged = Passkey::new([7; 32]).unwrap();
    town.tamper(&format!(
        "INSERT INTO credentials (id, operator, public_key, device_bound, created, revoked) VALUES ('{}', 'olga', x'{}', 1, 1, 0)",
        forged.credential,
        hex::encode(forged.public_key().unwrap())
    ));
    let browser = ("none".to_owned(), "an attacker's browser".to_owned());
    let mallory = Thief::new(&origin, browser);
    let challenge = || {
        let (status, body) = mallory.json("/console/sign-in/begin", &json!({}));
        assert_eq!(status, 200);
        text(&serde_json::from_str(&body).unwrap(), "/challenge")
    };
    let finish = |challenge: &str, assertion: &str| {
        mallory.json("/console/sign-in/finish", &json!({"challenge": challenge, "assertion": assertion}))
    };
    let honest = |challenge: &str| Ceremony::new("localhost", &origin, &hex::decode(challenge).unwrap());

    // Not even to sign in: another origin, another challenge, without verification, a stranger's key, twice.
    let other = challenge();
    let stranger = Passkey::new([8; 32]).unwrap();
    for (assertion, words) in [
        (forged.assert(&Ceremony { origin: "https://evil.example".to_owned(), ..honest(&challenge()) }), "another"),
        (forged.assert(&honest(&other)), "another instruction"),
        (stranger.assert(&honest(&other)), "not enrolled"),
    ] {
        let (status, body) = finish(&challenge(), &assertion);
        assert!(status == 403 && body.contains(words), "{status} {body}");
    }
    let fresh = challenge();
    let (status, body) = finish(&fresh, &forged.assert(&Ceremony { flags: 1, ..honest(&fresh) }));
    assert!(status == 403 && body.contains("did not verify the person"), "{status} {body}");
    let (status, body) = finish(&fresh, &forged.assert(&honest(&fresh)));
    assert!(status == 403 && body.contains("tried before"), "{status} {body}");
    let (status, _) = finish("nonsense", "nonsense");
    assert_eq!(status, 422);

    // The row opens a session. An approval with its key counts nowhere.
    let fresh = challenge();
    let assertion = forged.assert(&honest(&fresh));
    let sent = json!({"challenge": fresh, "assertion": assertion}).to_string();
    let request = mallory.agent.post(format!("{origin}/console/sign-in/finish")).header("origin", &origin);
    let answer = request.header("user-agent", &mallory.terminal).content_type("application/json").send(&sent).unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["__Host-", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{attribute}");
    }
    let inside = Thief { cookies: cookie.split(';').next().unwrap().to_owned(), ..mallory };
    assert_eq!(inside.get("/console").0, 200);
    let destination = town.outside();
    let answer = town.withdraw("alice", "large", &Town::withdrawal(60_000_000, &destination));
    let id = text(&answer.body, "/id");
    let waiting = town.reaches(&id, "awaiting-approval");
    let digest = hex::decode(text(&waiting, "/digest")).unwrap();
    let approval = forged.assert(&Ceremony::new("localhost", &origin, &digest));
    let (status, body) = inside.json(&format!("/console/payments/{id}/approve"), &json!({"signature": approval}));
    assert!(status == 403 && body.contains("does not name this credential"), "{status} {body}");
    // Written into the database as well, it changes nothing.
    town.tamper(&format!(
        "INSERT INTO approvals (payment, operator, signature, created) VALUES ('{id}', 'olga', '{approval}', 1), ('{id}', 'omar', '{approval}', 1)"
    ));
    town.tamper(&format!("UPDATE payments SET state = 'approved', tier = 'quorum' WHERE id = '{id}'"));
    let refused = town.reaches(&id, "refused");
    assert!(text(&refused, "/payment/reason").contains("does not name this credential"), "{refused}");
    assert_eq!(town.received(&destination), (0, 0));
}

#[test]
fn t04_links_work_once_and_soon_and_for_nobody_else() {
    let mut desk = Desk::start(Town::start());
    let link = desk.link("olga");
    let secret = link.split_once('#').unwrap().1.to_owned();
    let nobody = Thief::new(&desk.origin(), (String::new(), "any".to_owned()));
    let begin = |secret: &str| nobody.json("/console/enrol/begin", &json!({"secret": secret}));
    assert_eq!(begin(&secret).0, 200);
    assert_eq!(begin("guessed").0, 404);
    let (status, body) = nobody.json("/console/enrol/finish", &json!({"secret": secret, "registration": "{}"}));
    assert!(status == 403 && body.contains("not taken"), "{status} {body}");

    // Not verified, not enrolled; and the link can still be used.
    let window = desk.browser.window().unwrap();
    desk.browser.verified(&window, false).unwrap();
    desk.browser.open(&window, &link).unwrap();
    desk.browser.until(&window, "location.hash === ''").unwrap();
    desk.browser.click(&window, "#enrol").unwrap();
    desk.browser.shows(&window, "could not verify you").unwrap();
    desk.browser.verified(&window, true).unwrap();
    desk.browser.click(&window, "#enrol").unwrap();
    desk.browser.shows(&window, "Your passkey is enrolled").unwrap();
    let (status, body) = begin(&secret);
    assert!(status == 410 && body.contains("used before"), "{status} {body}");

    // One that nobody used in time.
    let late = desk.link("omar").split_once('#').unwrap().1.to_owned();
    desk.town.tamper("UPDATE enrolments SET expires = 1 WHERE used = 0");
    let (status, body) = begin(&late);
    assert!(status == 410 && body.contains("ask for another"), "{status} {body}");
}

#[test]
fn t04_approvals_of_a_failed_attempt_or_an_older_charter_buy_nothing() {
    let [olgas, omars] = [1, 2].map(|number| Passkey::new([number; 32]).unwrap());
    let town = Town::decided(|charter| {
        for (place, passkey) in [(0, &olgas), (1, &omars)] {
            charter.operators[place].passkeys = vec![policy::Passkey {
                credential: passkey.credential.clone(),
                public_key: passkey.public_key().unwrap(),
                device_bound: true,
            }];
        }
    });
    let origin = town.house.charter.relying_party.origin.clone();
    let destination = town.outside();
    let large = |key: &str| {
        let id = text(&town.withdraw("alice", key, &Town::withdrawal(60_000_000, &destination)).body, "/id");
        let waiting = town.reaches(&id, "awaiting-approval");
        (id, hex::decode(text(&waiting, "/digest")).unwrap())
    };
    let assert = |passkey: &Passkey, digest: &[u8]| passkey.assert(&Ceremony::new("localhost", &origin, digest));
    let hand_in = |operator: &str, id: &str, signature: &str| {
        let body = json!({"signature": signature}).to_string();
        let key = format!("{operator}-{}", hex::encode(&signature.as_bytes()[signature.len() - 20..]));
        let client = town.house.operator(operator).unwrap();
        let answer = client.ask("POST", &format!("/v1/payments/{id}/approvals"), &key, &body).unwrap();
        (answer.status, text(&answer.body, "/code"))
    };

    // The page says "that failed, try again", and keeps what it was given: two assertions of one person, for one instruction.
    let (id, digest) = large("failed");
    let (first, again) = (assert(&olgas, &digest), assert(&olgas, &digest));
    assert_eq!(hand_in("olga", &id, &first).0, 200);
    assert_eq!(hand_in("olga", &id, &again).0, 200);
    assert_eq!(hand_in("omar", &id, &again), (403, "approval-refused".to_owned()));
    town.tamper(&format!(
        "INSERT INTO approvals (payment, operator, signature, created) VALUES ('{id}', 'omar', '{again}', 1)"
    ));
    town.tamper(&format!("UPDATE payments SET state = 'approved', tier = 'quorum' WHERE id = '{id}'"));
    let refused = town.reaches(&id, "refused");
    assert!(text(&refused, "/payment/reason").contains("does not name this credential"), "{refused}");
    // The same payment, asked for again, is another instruction.
    let (other, _) = large("asked-again");
    assert_eq!(hand_in("olga", &other, &first), (403, "approval-refused".to_owned()));

    // Both have approved, and the page has said that neither arrived. Then the charter changes, for whatever reason.
    let (id, digest) = large("older");
    let kept = [("olga", assert(&olgas, &digest)), ("omar", assert(&omars, &digest))];
    let mut next = town.house.charter.clone();
    (next.version, next.previous) = (2, Some(town.house.charter.digest()));
    next.address_book_seconds += 1;
    let signed = ["olga", "omar"].map(|name| {
        let signature = town.house.people.sign(name, "claviger-charter", &next.digest()).unwrap().signature;
        json!({"operator": name, "signature": signature})
    });
    let body = json!({"charter": String::from_utf8(next.to_bytes()).unwrap(), "approvals": signed});
    town.olga().post("/v1/charter", "next", &body).unwrap();
    town.reaches(&id, "refused");
    for (name, assertion) in &kept {
        assert_eq!(hand_in(name, &id, assertion), (409, "not-waiting".to_owned()));
        town.tamper(&format!(
            "INSERT INTO approvals (payment, operator, signature, created) VALUES ('{id}', '{name}', '{assertion}', 1)"
        ));
    }
    town.tamper(&format!("UPDATE payments SET state = 'approved', tier = 'quorum', reason = '' WHERE id = '{id}'"));
    // Its hold was freed when it was refused, so the row that was written comes to no end; every signer says no each time.
    claviger::dev::until("signers refuse it", || {
        let shown = town.payment(&id)?;
        let reason = text(&shown, "/payment/reason");
        let all = ["s1", "s2", "s3"].iter().all(|signer| reason.contains(signer)) && reason.contains("charter-version");
        if all { Ok(Some(())) } else { Err(shown["payment"].to_string()) }
    })
    .unwrap();
    assert_eq!(town.received(&destination), (0, 0));
}
