//! Webhooks against a receiver of the test's own: signed, in order, tried again, told again, and never into private networks.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use base64ct::{Base64, Encoding as _};
use claviger::cli::ApiKey;
use claviger::config::WebhookConfig;
use claviger::dev::{House, until};
use common::text;
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use serde_json::{Value, json};

/// What a receiver was told.
#[derive(Clone, Debug)]
struct Told {
    id: String,
    timestamp: String,
    signature: String,
    payload: String,
}

/// A receiver that refuses the first so many, then takes everything.
struct Receiving {
    address: SocketAddr,
    told: Mutex<Receiver<Told>>,
    connections: Arc<AtomicUsize>,
}

fn receive(refuse: usize) -> Receiving {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (send, told) = channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let number = count.fetch_add(1, Ordering::SeqCst);
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut told) = (0, [String::new(), String::new(), String::new()]);
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                let (name, value) = line.split_once(':').unwrap_or((&line, ""));
                let value = value.trim().to_owned();
                match name.to_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "webhook-id" => told[0] = value,
                    "webhook-timestamp" => told[1] = value,
                    "webhook-signature" => told[2] = value,
                    _ => {}
                }
                line.clear();
            }
            let mut payload = vec![0; length];
            if reader.read_exact(&mut payload).is_err() {
                continue;
            }
            let status = if number < refuse { "503 Busy" } else { "204 Taken" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let [id, timestamp, signature] = told;
            let payload = String::from_utf8(payload).unwrap();
            if number >= refuse && send.send(Told { id, timestamp, signature, payload }).is_err() {
                return;
            }
        }
    });
    Receiving { address, told: Mutex::new(told), connections }
}

impl Receiving {
    fn next(&self) -> Told {
        self.told.lock().unwrap().recv_timeout(std::time::Duration::from_secs(60)).unwrap()
    }
}

fn house(directory: &std::path::Path, url: &str, private: bool) -> Result<House, String> {
    let key = directory.join("webhook.key");
    let _ = ApiKey::generate().unwrap().write(&key);
    let hook = WebhookConfig { url: url.to_owned(), private };
    House::start_with(
        directory,
        |config| {
            config.webhooks = vec![hook.clone()];
            config.webhook_key = Some(key.clone());
        },
        |_| {},
    )
}

#[test]
fn events_are_told_signed_in_order_until_they_are_taken_and_again_on_demand() {
    let receiver = receive(3);
    let directory = tempfile::tempdir().unwrap();
    let url = format!("http://{}/hook", receiver.address);
    let house = house(directory.path(), &url, true).unwrap();
    let olga = house.operator("olga").unwrap();
    let ada = house.operator("ada").unwrap();
    let webhook = || Ok::<Value, String>(olga.get("/v1/webhooks")?["items"][0].clone());
    until("the webhook is known", || Ok((!text(&webhook()?, "/url").is_empty()).then_some(()))).unwrap();
    for number in 0..3 {
        let body = json!({"latch": "customer:alice", "reason": format!("number {number}")});
        olga.post("/v1/freeze", &format!("freeze-{number}"), &body).unwrap();
    }
    let shown = webhook().unwrap();
    let key = Base64::decode_vec(text(&shown, "/public_key").strip_prefix("whpk_").unwrap()).unwrap();
    let key = VerifyingKey::from_bytes(&key.try_into().unwrap()).unwrap();
    let check = |told: &Told, number: usize| {
        let signed = format!("{}.{}.{}", told.id, told.timestamp, told.payload);
        let signature = Base64::decode_vec(told.signature.strip_prefix("v1a,").unwrap()).unwrap();
        key.verify(signed.as_bytes(), &Signature::from_slice(&signature).unwrap()).unwrap();
        let forged = signed.replace("number", "nothing");
        assert!(key.verify(forged.as_bytes(), &Signature::from_slice(&signature).unwrap()).is_err());
        let payload: Value = serde_json::from_str(&told.payload).unwrap();
        assert_eq!(payload["type"], "signers.frozen");
        assert_eq!(payload["data"]["detail"]["reason"], format!("number {number}"));
    };
    let first: Vec<Told> = (0..3).map(|_| receiver.next()).collect();
    first.iter().enumerate().for_each(|(number, told)| check(told, number));

    // Told again: the same names, so that a receiver knows what it had.
    let before: u64 = first[0].id.strip_prefix("evt_").unwrap().parse().unwrap();
    until("everything was told", || {
        let shown = webhook()?;
        Ok((shown["delivered"] == shown["newest"]).then_some(()))
    })
    .unwrap();
    let replay = |client: &claviger::cli::Client, key: &str, after: u64| {
        let body = json!({"url": url, "after": after}).to_string();
        client.ask("POST", "/v1/webhooks/replay", key, &body).unwrap()
    };
    assert_eq!(replay(&olga, "no", 0).status, 403);
    assert_eq!(text(&replay(&ada, "future", 1_000_000).body, "/code"), "after");
    assert_eq!(replay(&ada, "yes", before).status, 200);
    for told in &first[1..] {
        let again = receiver.next();
        assert_eq!((&again.id, &again.payload), (&told.id, &told.payload));
    }
}

#[test]
fn t08_webhooks_reach_no_address_inside() {
    let receiver = receive(0);
    let directory = tempfile::tempdir().unwrap();
    // The name of this very machine: what matters is where it leads when it is connected to.
    let url = format!("https://localhost:{}/hook", receiver.address.port());
    let house = house(directory.path(), &url, false).unwrap();
    let olga = house.operator("olga").unwrap();
    until("the webhook is known", || Ok(olga.get("/v1/webhooks")?["items"][0]["url"].is_string().then_some(())))
        .unwrap();
    olga.post("/v1/freeze", "freeze", &json!({"latch": "customer:alice", "reason": "drill"})).unwrap();
    let problem = until("it is refused", || {
        let problem = text(&olga.get("/v1/webhooks")?["items"][0], "/problem");
        Ok((!problem.is_empty()).then_some(problem))
    })
    .unwrap();
    assert!(problem.contains("internal address"), "{problem}");
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 0);
    // The others' work goes on.
    assert_eq!(olga.ask("GET", "/v1/withdrawals", "", "").unwrap().status, 200);
}

#[test]
fn a_webhook_without_tls_or_without_a_key_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    let error = house(&plain, "http://example.com/hook", false).err().unwrap_or_default();
    assert!(error.contains("is not https"), "{error}");
    let keyless = directory.path().join("keyless");
    std::fs::create_dir(&keyless).unwrap();
    let hook = WebhookConfig { url: "https://example.com/hook".to_owned(), private: false };
    let error =
        House::start_with(&keyless, |config| config.webhooks = vec![hook.clone()], |_| {}).err().unwrap_or_default();
    assert!(error.contains("claviger key new"), "{error}");
}
