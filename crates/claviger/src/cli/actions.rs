//! Commands that do more than ask: sign, write files, read them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use types::Instruction;

use super::client::Client;
use super::commands::{PAYMENT, fresh_key};
use super::printer::Printer;
use crate::Outcome;
use crate::custody::now;

pub fn approve(
    client: &Client,
    printer: &Printer,
    id: &str,
    key: Option<PathBuf>,
    signature: Option<PathBuf>,
) -> Outcome {
    let shown = client.get(&format!("/v1/payments/{id}"))?;
    let canonical = shown.get("canonical").and_then(Value::as_str).unwrap_or_default();
    // Read and digested here: the server's own words for it are not what is signed.
    let instruction = Instruction::from_canonical(canonical.as_bytes()).map_err(|error| error.to_string())?;
    let digest = instruction.digest().to_string();
    if !printer.json {
        println!("{}\n{}\n", types::sentence(&instruction), types::words(&instruction.digest()).join(" "));
    }
    let armoured = match (key, signature) {
        (_, Some(path)) => read(&path)?,
        (Some(key), None) => ssh_sign(&key, "claviger-approval", &digest)?,
        (None, None) => return Err("name a key or a signature".to_owned()),
    };
    let path = format!("/v1/payments/{id}/approvals");
    printer.one(&client.post(&path, &format!("approve-{id}"), &json!({"signature": armoured}))?, PAYMENT)
}

pub fn unfreeze(client: &Client, printer: &Printer, words: [&str; 4], out: &Path) -> Outcome {
    let [signer, latch, reason, requester] = words;
    let version = client.get("/v1/charter")?;
    let version = version.get("version").and_then(Value::as_str).and_then(|version| version.parse().ok());
    let created = now().whole_seconds();
    let instruction = Instruction {
        id: format!("unfreeze-{}", fresh_key(None)?).parse().map_err(|error| format!("{error}"))?,
        created,
        // An hour to gather signatures in.
        expires: created.plus_seconds(3_600),
        charter: version.ok_or("the charter has no version")?,
        body: types::Body::Unfreeze(types::Freeze {
            requester: requester.parse().map_err(|error| format!("{requester}: {error}"))?,
            signer: signer.parse().map_err(|error| format!("{signer}: {error}"))?,
            latch: latch.to_owned(),
            reason: reason.to_owned(),
        }),
    };
    fs::write(out, instruction.canonical()).map_err(|error| format!("{}: {error}", out.display()))?;
    let digest = instruction.digest();
    let shown = json!({
        "sentence": types::sentence(&instruction), "words": types::words(&digest).join(" "), "digest": digest.to_string(),
    });
    printer.one(&shown, &[("sentence", "sentence"), ("words", "words"), ("digest", "digest")])
}

pub fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Signatures that are named as OPERATOR=FILE.
pub fn signatures(approvals: &[String]) -> Outcome<Vec<Value>> {
    let approval = |text: &String| {
        let (operator, file) = text.split_once('=').ok_or_else(|| format!("{text}: write OPERATOR=FILE"))?;
        Ok(json!({"operator": operator, "signature": read(Path::new(file))?}))
    };
    approvals.iter().map(approval).collect()
}

pub fn execute(client: &Client, printer: &Printer, path: &Path, approvals: &[String]) -> Outcome {
    let body = json!({"instruction": read(path)?, "approvals": signatures(approvals)?});
    let answer = client.post("/v1/instructions", &fresh_key(None)?, &body)?;
    printer.one(&answer, &[("done at", "done"), ("not at", "failed")])
}

/// Stock `ssh-keygen` signs the digest's text and a line feed.
pub fn ssh_sign(key: &Path, namespace: &str, digest: &str) -> Outcome<String> {
    let mut child = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("ssh-keygen: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        writeln!(input, "{digest}").map_err(|error| error.to_string())?;
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err("ssh-keygen did not sign".to_owned());
    }
    String::from_utf8(output.stdout).map_err(|_| "ssh-keygen's signature is not text".to_owned())
}

pub fn audit(client: &Client, mut after: u64, out: Option<&Path>) -> Outcome {
    let mut sink: Box<dyn std::io::Write> = match out {
        Some(path) => Box::new(fs::File::create(path).map_err(|error| format!("{}: {error}", path.display()))?),
        None => Box::new(std::io::stdout()),
    };
    loop {
        let page = client.get(&format!("/v1/audit?limit=500&after={after}"))?;
        for item in page.get("items").and_then(Value::as_array).into_iter().flatten() {
            writeln!(sink, "{item}").map_err(|error| error.to_string())?;
        }
        match page.get("next").and_then(Value::as_str).and_then(|next| next.parse().ok()) {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}
