//! A town with its console in a real browser, and the people before it.
#![allow(dead_code, reason = "each test file uses a part")]

use claviger::dev::until;
use serde_json::{Value, json};
use testkit::{Chromium, Window};

use super::{Town, text};

/// A browser, and the town whose console it shows.
pub struct Desk {
    pub town: Town,
    pub browser: Chromium,
}

impl Desk {
    pub fn start(town: Town) -> Desk {
        Desk { town, browser: Chromium::start().unwrap() }
    }

    pub fn origin(&self) -> String {
        self.town.house.charter.relying_party.origin.clone()
    }

    pub fn open(&mut self, window: &Window, path: &str) {
        let url = format!("{}{path}", self.origin());
        self.browser.open(window, &url).unwrap();
    }

    pub fn link(&self, operator: &str) -> String {
        let ada = self.town.house.operator("ada").unwrap();
        let answer =
            ada.post("/v1/invitations", &format!("invite-{operator}"), &json!({"operator": operator})).unwrap();
        text(&answer, "/link")
    }

    /// Somebody's window, enrolled and signed in.
    pub fn person(&mut self, operator: &str) -> Window {
        let window = self.browser.window().unwrap();
        let link = self.link(operator);
        self.browser.open(&window, &link).unwrap();
        self.browser.click(&window, "#enrol").unwrap();
        self.browser.shows(&window, "Your passkey is enrolled").unwrap();
        self.sign_in(&window);
        window
    }

    pub fn sign_in(&mut self, window: &Window) {
        self.open(window, "/console/sign-in");
        self.browser.click(window, "#sign-in").unwrap();
        self.browser.until(window, "location.pathname === '/console'").unwrap();
        self.browser.shows(window, "Owed to customers").unwrap();
    }

    /// Puts the passkeys that were enrolled into the charter, by the console's own means, signed with SSH keys.
    pub fn name_passkeys(&mut self, ada: &Window) {
        let operators = self.town.olga().get("/v1/operators").unwrap();
        let mut charter = self.town.house.operator("ada").unwrap().get("/v1/charter").unwrap();
        for person in operators["items"].as_array().unwrap() {
            let passkeys: Vec<Value> = person["passkeys"]
                .as_array()
                .unwrap()
                .iter()
                .map(|key| json!({"credential": key["id"], "public_key": key["public_key"], "device_bound": "yes"}))
                .collect();
            let all = charter["operators"].as_array_mut().unwrap();
            if let Some(operator) = all.iter_mut().find(|operator| operator["id"] == person["operator"]) {
                operator["passkeys"] = passkeys.into();
            }
        }
        let id = self.propose_charter(ada, &charter);
        for name in ["olga", "omar"] {
            self.sign_charter(name, &id);
        }
        self.until_version(2);
    }

    pub fn propose_charter(&mut self, ada: &Window, charter: &Value) -> String {
        self.open(ada, "/console/charter");
        self.browser.fill(ada, "textarea[name=charter]", &charter.to_string()).unwrap();
        self.browser.click(ada, "form[action='/console/charter'] button.main").unwrap();
        self.browser.shows(ada, "What it changes").unwrap();
        let path = self.browser.eval(ada, "location.pathname").unwrap();
        path.as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    pub fn sign_charter(&self, name: &str, id: &str) {
        self.sign(name, "claviger-charter", id);
    }

    /// Signs a proposal with an SSH key, as somebody does who has read it elsewhere.
    pub fn sign(&self, name: &str, namespace: &str, id: &str) {
        let client = self.town.house.operator(name).unwrap();
        let shown = client.get(&format!("/v1/proposals/{id}")).unwrap();
        let digest = text(&shown, "/digest").parse().unwrap();
        let signature = self.town.house.people.sign(name, namespace, &digest).unwrap().signature;
        client
            .post(
                &format!("/v1/proposals/{id}/approvals"),
                &format!("{name}-{namespace}-{id}"),
                &json!({"signature": signature}),
            )
            .unwrap();
    }

    pub fn until_version(&self, version: u64) {
        until("the next charter", || {
            let charter = self.town.olga().get("/v1/charter")?;
            Ok((text(&charter, "/version") == version.to_string()).then_some(()))
        })
        .unwrap();
    }

    /// A withdrawal that needs two people.
    pub fn large(&self, key: &str, destination: &str) -> String {
        let answer = self.town.withdraw("alice", key, &Town::withdrawal(60_000_000, destination));
        let id = text(&answer.body, "/id");
        self.town.reaches(&id, "awaiting-approval");
        id
    }

    /// For the guide: pictures of the pages, into the directory that the environment names.
    pub fn pictures(&mut self, window: &Window) {
        let Some(directory) = std::env::var_os("CLAVIGER_PICTURES").map(std::path::PathBuf::from) else { return };
        let destination = self.town.outside();
        let waiting = self.large("picture", &destination);
        let payment = format!("/payments/{waiting}");
        for (name, page, width, dark) in [
            ("overview", "", 1280, false),
            ("overview-dark", "", 1280, true),
            ("overview-small", "", 420, false),
            ("payment", payment.as_str(), 1280, false),
            ("withdrawals", "/withdrawals", 1280, false),
            ("decisions", "/decisions", 1280, true),
            ("signers", "/signers", 1280, false),
            ("operators", "/operators", 1280, false),
            ("charter", "/charter", 1280, false),
            ("audit", "/audit", 1280, false),
        ] {
            self.open(window, &format!("/console{page}"));
            let picture = self.browser.picture(window, width, 900, dark).unwrap();
            std::fs::write(directory.join(format!("{name}.png")), picture).unwrap();
        }
    }

    /// For the guide: pictures of the board of keys.
    pub fn pictures_of_keys(&mut self, window: &Window) {
        let Some(directory) = std::env::var_os("CLAVIGER_PICTURES").map(std::path::PathBuf::from) else { return };
        for (name, width, dark) in [("keys", 1280, false), ("keys-dark", 1280, true), ("keys-small", 420, false)] {
            let picture = self.browser.picture(window, width, 900, dark).unwrap();
            std::fs::write(directory.join(format!("{name}.png")), picture).unwrap();
        }
    }

    /// What the browser complained about. While a charter is put in force the system begins anew, and open pages that ask it then are refused.
    pub fn complaints(&mut self, window: &Window) -> Vec<String> {
        let mut complaints = self.browser.complaints(window).unwrap();
        complaints.retain(|one| !one.contains("ERR_CONNECTION_REFUSED"));
        complaints
    }

    pub fn approve(&mut self, window: &Window, path: &str) {
        self.open(window, path);
        self.browser.click(window, "#approve").unwrap();
    }
}
