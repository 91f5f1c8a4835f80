//! Requests to the console that no browser of ours makes.
#![allow(dead_code, reason = "each test file uses a part")]

use serde_json::{Value, json};
use testkit::{Ceremony, Passkey};

use super::text;

/// Requests as a thief sends them: outside the browser, with whatever headers they like.
pub struct Thief {
    pub agent: ureq::Agent,
    pub origin: String,
    pub cookies: String,
    pub terminal: String,
}

impl Thief {
    pub fn new(origin: &str, (cookies, terminal): (String, String)) -> Thief {
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        // Longer than anything takes: a stream that does not end is a failure, and no endless test.
        let config = config.timeout_global(Some(std::time::Duration::from_secs(180))).build();
        Thief { agent: config.into(), origin: origin.to_owned(), cookies, terminal }
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let request = self.agent.get(format!("{}{path}", self.origin)).header("cookie", &self.cookies);
        let mut answer = request.header("user-agent", &self.terminal).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    pub fn send(&self, path: &str, origin: &str, kind: &str, body: &str) -> (u16, String) {
        let request = self.agent.post(format!("{}{path}", self.origin)).header("cookie", &self.cookies);
        let request = request.header("user-agent", &self.terminal).header("origin", origin).content_type(kind);
        let mut answer = request.send(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    pub fn json(&self, path: &str, body: &Value) -> (u16, String) {
        self.send(path, &self.origin, "application/json", &body.to_string())
    }

    pub fn form(&self, path: &str, body: &str) -> (u16, String) {
        self.send(path, &self.origin, "application/x-www-form-urlencoded", body)
    }

    /// Signs in with a passkey in software, outside any browser; the cookie is kept.
    pub fn sign_in(&mut self, passkey: &Passkey) {
        let (status, body) = self.json("/console/sign-in/begin", &json!({}));
        assert_eq!(status, 200, "{body}");
        let challenge = text(&serde_json::from_str(&body).unwrap(), "/challenge");
        let assertion = passkey.assert(&Ceremony::new("localhost", &self.origin, &hex::decode(&challenge).unwrap()));
        let sent = json!({"challenge": challenge, "assertion": assertion}).to_string();
        let request = self.agent.post(format!("{}/console/sign-in/finish", self.origin)).header("origin", &self.origin);
        let request = request.header("user-agent", &self.terminal).content_type("application/json");
        let mut answer = request.send(sent).unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{:?}", answer.body_mut().read_to_string());
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        self.cookies = cookie.split(';').next().unwrap().to_owned();
    }
}
