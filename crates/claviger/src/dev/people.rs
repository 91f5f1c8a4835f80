//! Two operators with SSH keys and a customer with a request key, all of them played by this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ed25519_dalek::{Signer as _, SigningKey};
use policy::http_signature::{Parameters, Parts, content_digest, signature_base, signature_header};
use types::{Digest, Instruction, Moment, SshApproval};

use crate::Outcome;

const OPERATORS: [(&str, &str); 2] = [("olga", "Northbank"), ("omar", "Southtrust")];

/// The people.
pub struct People {
    directory: PathBuf,
    public: Vec<String>,
    customer: SigningKey,
}

impl People {
    /// Makes their keys.
    pub fn create(directory: &Path) -> Outcome<People> {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let public = OPERATORS.iter().map(|(name, _)| keygen(directory, name)).collect::<Outcome<_>>()?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| error.to_string())?;
        Ok(People { directory: directory.to_owned(), public, customer: SigningKey::from_bytes(&secret) })
    }

    /// Name, organisation and public key of each operator.
    pub fn operators(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        OPERATORS.iter().zip(&self.public).map(|((name, organisation), key)| (*name, *organisation, key.as_str()))
    }

    /// The customer's public key.
    pub fn customer_key(&self) -> [u8; 32] {
        self.customer.verifying_key().to_bytes()
    }

    /// One operator's signature over a digest, by stock ssh-keygen.
    pub fn sign(&self, operator: &str, namespace: &str, digest: &Digest) -> Outcome<SshApproval> {
        let text = self.directory.join(format!("{operator}-{namespace}-{digest}"));
        fs::write(&text, format!("{digest}\n")).map_err(|error| error.to_string())?;
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(self.directory.join(operator)).arg(&text);
        run(&mut command)?;
        let armoured = PathBuf::from(format!("{}.sig", text.display()));
        let signature = fs::read_to_string(armoured).map_err(|error| error.to_string())?;
        Ok(SshApproval { operator: operator.parse().map_err(|_| "an operator's name has no form")?, signature })
    }

    /// Every operator's signature.
    pub fn sign_all(&self, namespace: &str, digest: &Digest) -> Outcome<Vec<SshApproval>> {
        OPERATORS.iter().map(|(name, _)| self.sign(name, namespace, digest)).collect()
    }

    /// An operator's approval of an instruction, for the wire.
    pub fn approve(&self, operator: &str, instruction: &Instruction) -> Outcome<signer_wire::Approval> {
        let approval = self.sign(operator, "claviger-approval", &instruction.digest())?;
        Ok(signer_wire::Approval { operator: approval.operator.to_string(), signature: approval.signature })
    }

    /// The customer's signed request (RFC 9421) for a withdrawal.
    pub fn request(&self, idempotency_key: &str, body: String, now: Moment) -> Outcome<signer_wire::Customer> {
        let parameters = Parameters {
            created: now.whole_seconds().plus_seconds(-1),
            expires: now.whole_seconds().plus_seconds(300),
            key_id: "alice-1".to_owned(),
            nonce: format!("nonce-{idempotency_key}"),
        };
        let digest = content_digest(body.as_bytes());
        let parts = Parts { method: "POST", path: policy::WITHDRAWALS_PATH, content_digest: &digest, idempotency_key };
        let base = signature_base(&parts, &parameters).map_err(|error| error.to_string())?;
        Ok(signer_wire::Customer {
            method: "POST".to_owned(),
            path: policy::WITHDRAWALS_PATH.to_owned(),
            idempotency_key: idempotency_key.to_owned(),
            content_digest: digest,
            signature_input: parameters.header(),
            signature: signature_header(&self.customer.sign(base.as_bytes()).to_bytes()),
            body,
        })
    }
}

fn keygen(directory: &Path, name: &str) -> Outcome<String> {
    let path = directory.join(name);
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path))?;
    let public = fs::read_to_string(path.with_extension("pub")).map_err(|error| error.to_string())?;
    Ok(public.trim().to_owned())
}

/// Runs a program to its end; the error holds what it said.
pub fn run(command: &mut Command) -> Outcome<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|error| format!("{program}: {error}; ./scripts/setup installs what is needed"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
