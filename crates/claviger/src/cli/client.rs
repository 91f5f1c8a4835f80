//! Signed requests to the interfaces (RFC 9421).

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use policy::http_signature::{Parameters, Parts, content_digest, signature_base, signature_header};
use serde_json::Value;
use types::{CustomerRequest, Moment};

use crate::Outcome;
use crate::custody::now;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a signature holds, in seconds.
const LIFETIME_SECONDS: i64 = 120;

/// An Ed25519 key that signs requests. Kept in a file of its own, 64 hexadecimal digits, readable by its owner only.
pub struct ApiKey(SigningKey);

impl ApiKey {
    /// A new key from the system's randomness.
    pub fn generate() -> Outcome<ApiKey> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| format!("no randomness: {error}"))?;
        Ok(ApiKey(SigningKey::from_bytes(&secret)))
    }

    /// Reads a key file.
    pub fn read(path: &Path) -> Outcome<ApiKey> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut secret = [0; 32];
        hex::decode_to_slice(text.trim(), &mut secret)
            .map_err(|_| format!("{} is not a key file; `claviger key new` makes one", path.display()))?;
        Ok(ApiKey(SigningKey::from_bytes(&secret)))
    }

    /// Writes a key file; one that exists is left alone.
    pub fn write(&self, path: &Path) -> Outcome {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        writeln!(file, "{}", hex::encode(self.0.to_bytes())).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// A signature over bytes: what webhooks are told is signed with a key of its own.
    pub fn sign_bytes(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }

    /// The public key's bytes.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// A request with its signature, made now.
    pub fn sign(&self, method: &str, path: &str, idempotency_key: &str, body: &str) -> Outcome<CustomerRequest> {
        self.sign_at(now().whole_seconds().plus_seconds(-1), method, path, idempotency_key, body)
    }

    /// The same by another clock.
    pub fn sign_at(
        &self,
        created: Moment,
        method: &str,
        path: &str,
        idempotency_key: &str,
        body: &str,
    ) -> Outcome<CustomerRequest> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| format!("no randomness: {error}"))?;
        let parameters = Parameters {
            created,
            expires: created.plus_seconds(LIFETIME_SECONDS),
            key_id: hex::encode(self.public()),
            nonce: hex::encode(nonce),
        };
        let digest = content_digest(body.as_bytes());
        let parts = Parts { method, path, content_digest: &digest, idempotency_key };
        let base = signature_base(&parts, &parameters).map_err(|error| error.to_string())?;
        Ok(CustomerRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            idempotency_key: idempotency_key.to_owned(),
            signature_input: parameters.header(),
            signature: signature_header(&self.0.sign(base.as_bytes()).to_bytes()),
            content_digest: digest,
            body: body.to_owned(),
        })
    }
}

/// One interface, and who asks.
pub struct Client {
    agent: ureq::Agent,
    url: String,
    key: ApiKey,
}

/// What came back.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body; null when there is none.
    pub body: Value,
}

impl Client {
    /// A client of the interface at `url`.
    pub fn new(url: &str, key: ApiKey) -> Client {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
        Client { agent: config.into(), url: url.trim_end_matches('/').to_owned(), key }
    }

    /// Asks; an answer with a problem is an answer.
    pub fn ask(&self, method: &str, path: &str, idempotency_key: &str, body: &str) -> Outcome<Answer> {
        self.send(&self.key.sign(method, path, idempotency_key, body)?)
    }

    /// Sends a request as it is.
    pub fn send(&self, request: &CustomerRequest) -> Outcome<Answer> {
        let url = format!("{}{}", self.url, request.path);
        let headers = [
            ("Content-Digest", request.content_digest.as_str()),
            ("Signature-Input", &request.signature_input),
            ("Signature", &request.signature),
            ("Idempotency-Key", &request.idempotency_key),
            ("Content-Type", "application/json"),
        ];
        let headers = headers.iter().filter(|(_, value)| !value.is_empty());
        let sent = if request.method == "GET" {
            headers.fold(self.agent.get(&url), |sending, (name, value)| sending.header(*name, *value)).call()
        } else {
            headers
                .fold(self.agent.post(&url), |sending, (name, value)| sending.header(*name, *value))
                .send(request.body.as_str())
        };
        let mut response = sent.map_err(|error| format!("{} does not answer: {error}", self.url))?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
        let body =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
        Ok(Answer { status, body })
    }

    /// Asks; a problem is an error in words.
    pub fn call(&self, method: &str, path: &str, idempotency_key: &str, body: &str) -> Outcome<Value> {
        let Answer { status, body } = self.ask(method, path, idempotency_key, body)?;
        if status < 400 {
            return Ok(body);
        }
        let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut words = format!("{} ({}, request {})", text("detail"), text("code"), text("request_id"));
        for line in body.get("explanation").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            words.push_str("\n  ");
            words.push_str(line);
        }
        Err(words)
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Outcome<Value> {
        self.call("GET", path, "", "")
    }

    /// Changes something, under an idempotency key.
    pub fn post(&self, path: &str, idempotency_key: &str, body: &Value) -> Outcome<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.call("POST", path, idempotency_key, &body)
    }
}
