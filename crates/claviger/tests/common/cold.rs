//! What people do between the online system and signers without a network.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use claviger::dev::until;
use serde_json::{Value, json};
use types::Digest;

use super::{ASSET, Town, text};

/// The programs lie beside each other.
pub fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_claviger")).with_file_name(name);
    assert!(path.exists(), "{} is needed: cargo build -p signer", path.display());
    path
}

impl Town {
    /// A transfer between wallets that olga asks for and two others approve.
    pub fn transfer(&self, key: &str, from: &str, to: &str, sats: u64) -> String {
        let body = json!({
            "asset": ASSET.to_string(), "amount": sats.to_string(), "wallet": from, "destination_wallet": to,
        });
        let asked = self.olga().post("/v1/transfers", key, &body).unwrap();
        let id = text(&asked, "/id");
        self.reaches(&id, "awaiting-approval");
        for name in ["omar", "oona"] {
            // The second may come too late: one is enough for a sweep.
            self.approve(name, &id);
        }
        id
    }

    /// Coins in the cold wallet.
    pub fn fill_cold(&self, sats: u64) {
        let id = self.transfer("sweep", "hot", "cold", sats);
        self.reaches(&id, "broadcast");
        self.house.node.mine(3).unwrap();
        self.reaches(&id, "settled");
    }

    /// The transaction that carries out a payment.
    pub fn generated(&self, id: &str) -> String {
        text(&self.reaches(id, "generated"), "/payment/txid")
    }

    /// Olga proposes that the cold keys may be opened, two others sign.
    pub fn activate_cold(&self) -> Value {
        let step = json!({"key-step": {
            "signer": "all", "step": "activate", "wallet": "cold", "seconds": 3_600, "signatures": 10, "reason": "a refill",
        }});
        self.agree("activate-cold", &step)
    }

    /// Olga proposes something, two others sign; how it stands then.
    pub fn agree(&self, key: &str, step: &Value) -> Value {
        let id = text(&self.olga().post("/v1/proposals", key, step).unwrap(), "/id");
        let mut last = Value::Null;
        for name in ["omar", "oona"] {
            let client = self.house.operator(name).unwrap();
            let digest: Digest = text(&client.get(&format!("/v1/proposals/{id}")).unwrap(), "/digest").parse().unwrap();
            let signature = self.house.people.sign(name, "claviger-approval", &digest).unwrap().signature;
            let path = format!("/v1/proposals/{id}/approvals");
            last = client.post(&path, &format!("{name}-{id}"), &json!({"signature": signature})).unwrap();
        }
        last
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.house.directory().join(name)
    }

    /// `claviger` as olga runs it.
    pub fn claviger(&self, arguments: &[&str]) -> Output {
        let url = format!("http://{}", self.house.service.operators);
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(["--url", &url, "--key"]).arg(self.house.people.key_file("olga"));
        command.args(arguments).output().unwrap()
    }

    /// `claviger-signer offline sign`, at a cold signer, by kim with kit's share.
    pub fn sign_offline(&self, name: &str, bundle: &Path, out: &Path, words: &str) -> Output {
        let mut command = Command::new(program("claviger-signer"));
        command.args(["offline", "sign", "--data"]).arg(self.file(&format!("signer-{name}"))).arg(bundle);
        command.arg("--out").arg(out).args(["--may-swap", "--confirm", words, "--person", "kim"]);
        for share in self.house.fleet.opening(name).unwrap() {
            command.arg("--share").arg(share);
        }
        command.output().unwrap()
    }

    /// A whole trip: bundle, signature, answer; the answer's file.
    pub fn trip(&self, txid: &str, name: &str) -> PathBuf {
        let (bundle, out) = (self.file(&format!("{name}.bundle")), self.file(&format!("{name}.answer")));
        let made = self.claviger(&["bundle", txid, "--signer", name, "--out", bundle.to_str().unwrap(), "--json"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let signed = self.sign_offline(name, &bundle, &out, &text(&made, "/words"));
        assert!(
            signed.status.success(),
            "{}{}",
            String::from_utf8_lossy(&signed.stdout),
            String::from_utf8_lossy(&signed.stderr)
        );
        out
    }

    /// How far each signer is with a transaction.
    pub fn standing(&self, txid: &str) -> Result<Vec<(String, String)>, String> {
        let waiting = self.olga().get("/v1/transactions")?;
        let items = waiting["items"].as_array().cloned().unwrap_or_default();
        let found = items.iter().find(|item| text(item, "/txid") == txid).cloned().unwrap_or_default();
        let signers = found["signers"].as_array().cloned().unwrap_or_default();
        Ok(signers.iter().map(|signer| (text(signer, "/signer"), text(signer, "/state"))).collect())
    }

    pub fn until_confirmed(&self, id: &str) {
        until("settled", || {
            let state = self.state(id)?;
            if state == "broadcast" {
                self.house.node.mine(1).map_err(|error| error.to_string())?;
            }
            if state == "settled" { Ok(Some(())) } else { Err(state) }
        })
        .unwrap();
    }
}
