//! Cold storage in a real browser: refilling, what to carry where, moving codes, and answers that are handed in.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use std::fs;

use common::desk::Desk;
use common::{Town, text};

#[test]
fn people_refill_the_hot_wallet_from_a_page_that_says_what_to_carry_where() {
    let town = Town::with_coins();
    town.fill_cold(100_000_000);
    let mut desk = Desk::start(town);
    let olga = desk.person("olga");
    let ada = desk.person("ada");

    desk.open(&olga, "/console/cold");
    desk.browser.shows(&olga, "Nothing waits to be carried.").unwrap();
    desk.browser.shows(&olga, "cold holds 1.00000000 test BTC").unwrap();
    desk.browser.fill(&olga, "main input[name=amount]", "0.4").unwrap();
    desk.browser.click(&olga, "main form[action='/console/transfers'] button").unwrap();
    desk.browser.shows(&olga, "Move 0.40000000 test BTC from wallet cold to our wallet hot").unwrap();
    let path = desk.browser.eval(&olga, "location.pathname").unwrap().as_str().unwrap().to_owned();
    let id = path.rsplit('/').next().unwrap().to_owned();
    for name in ["omar", "oona"] {
        assert_eq!(desk.town.approve(name, &id).status, 200);
    }
    let txid = desk.town.generated(&id);
    desk.town.activate_cold();

    desk.open(&olga, "/console/cold");
    desk.browser.shows(&olga, "0 of 2 signatures are here").unwrap();
    // Somebody who does not look after payments reads, and has nothing to press.
    desk.open(&ada, "/console/cold");
    desk.browser.shows(&ada, "0 of 2 signatures are here").unwrap();
    assert_eq!(desk.browser.eval(&ada, "document.querySelectorAll('.trip a, .trip button').length").unwrap(), 0);

    // The codes move; one is seen at a time, and the words are those of the bundle.
    desk.open(&olga, &format!("/console/cold/{txid}/c1/codes"));
    desk.browser.shows(&olga, "Bundle for signer c1").unwrap();
    let seen = "document.querySelectorAll('.codes figure:not([hidden])').length";
    assert_eq!(desk.browser.eval(&olga, seen).unwrap(), 1);
    assert!(desk.browser.eval(&olga, "document.querySelectorAll('.codes svg path').length > 20").unwrap() == true);
    desk.browser
        .until(&olga, "document.querySelector('.codes figure:not([hidden]) figcaption').textContent === '4'")
        .unwrap();
    let shown = desk.browser.eval(&olga, "document.querySelector('#words').textContent").unwrap();
    let made = desk.town.olga().get(&format!("/v1/transactions/{txid}/bundle?signer=c1")).unwrap();
    assert_eq!(shown, text(&made, "/words").as_str(), "the same bundle as over the interface");
    // The file is the same, byte for byte.
    let fetched = format!(
        "fetch('/console/cold/{txid}/c1/bundle').then((one) => one.text()).then((text) => {{ window.fetched = text; }}), 0"
    );
    desk.browser.eval(&olga, &fetched).unwrap();
    desk.browser.until(&olga, "typeof window.fetched === 'string'").unwrap();
    assert_eq!(desk.browser.eval(&olga, "window.fetched").unwrap(), text(&made, "/bundle").as_str());

    if let Some(directory) = std::env::var_os("CLAVIGER_PICTURES").map(std::path::PathBuf::from) {
        for (name, page) in [("codes", format!("/console/cold/{txid}/c1/codes")), ("cold", "/console/cold".to_owned())]
        {
            desk.open(&olga, &page);
            let picture = desk.browser.picture(&olga, 1280, 900, false).unwrap();
            fs::write(directory.join(format!("{name}.png")), picture).unwrap();
        }
    }

    // One trip for each signer; the page says how far they are.
    for (name, then) in [("c1", "1 of 2 signatures are here"), ("c2", "Nothing waits to be carried.")] {
        let answer = fs::read_to_string(desk.town.trip(&txid, name)).unwrap();
        desk.open(&olga, "/console/cold");
        desk.browser.shows(&olga, "asked").unwrap();
        desk.browser.fill(&olga, "textarea[name=answer]", &answer[..answer.len() / 2]).unwrap();
        desk.browser.click(&olga, ".trip form button.main").unwrap();
        desk.browser.shows(&olga, "That did not work").unwrap();
        desk.open(&olga, "/console/cold");
        desk.browser.fill(&olga, "textarea[name=answer]", &answer).unwrap();
        desk.browser.click(&olga, ".trip form button.main").unwrap();
        desk.browser.until(&olga, "location.pathname === '/console/cold'").unwrap();
        desk.browser.shows(&olga, then).unwrap();
    }
    desk.town.until_confirmed(&id);
    // Of the two halves of answers that were refused, and of nothing else.
    let complaints = desk.complaints(&olga);
    assert!(complaints.len() == 2 && complaints.iter().all(|one| one.contains("422")), "{complaints:?}");
    desk.town.assert_reconciled();
}
