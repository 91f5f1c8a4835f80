//! Three approvers with SSH keys, an administrator, and customers with request keys, all of them played by this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use types::{Approval, Digest, Instruction};

use crate::Outcome;
use crate::cli::ApiKey;

/// People who ask and approve: three, so that two can decide about what the third asks for.
const OPERATORS: [(&str, &str); 3] = [("olga", "Northbank"), ("omar", "Southtrust"), ("oona", "Eastfund")];

/// Who lets people in, and neither asks for coins to move nor approves it.
pub const ADMINISTRATOR: (&str, &str) = ("ada", "Northbank");

/// Customers of the house.
pub const CUSTOMERS: [&str; 2] = ["alice", "bob"];

/// The people, with every key of theirs.
pub struct People {
    directory: PathBuf,
    public: Vec<String>,
}

impl People {
    /// Makes their keys: SSH keys for approvals, and keys for requests.
    pub fn create(directory: &Path) -> Outcome<People> {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let public = OPERATORS.iter().map(|(name, _)| keygen(directory, name)).collect::<Outcome<_>>()?;
        let people = People { directory: directory.to_owned(), public };
        for name in OPERATORS.iter().map(|(name, _)| *name).chain(CUSTOMERS).chain([ADMINISTRATOR.0]) {
            ApiKey::generate()?.write(&people.key_file(name))?;
        }
        Ok(people)
    }

    /// The file of somebody's request key.
    pub fn key_file(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.key"))
    }

    /// Somebody's request key.
    pub fn key(&self, name: &str) -> Outcome<ApiKey> {
        ApiKey::read(&self.key_file(name))
    }

    /// Name, organisation and public key of each operator.
    pub fn operators(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        OPERATORS.iter().zip(&self.public).map(|((name, organisation), key)| (*name, *organisation, key.as_str()))
    }

    /// One operator's signature over a digest, by stock ssh-keygen.
    pub fn sign(&self, operator: &str, namespace: &str, digest: &Digest) -> Outcome<Approval> {
        let text = self.directory.join(format!("{operator}-{namespace}-{digest}"));
        fs::write(&text, format!("{digest}\n")).map_err(|error| error.to_string())?;
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(self.directory.join(operator)).arg(&text);
        run(&mut command)?;
        let armoured = PathBuf::from(format!("{}.sig", text.display()));
        let signature = fs::read_to_string(armoured).map_err(|error| error.to_string())?;
        Ok(Approval { operator: operator.parse().map_err(|_| "an operator's name has no form")?, signature })
    }

    /// Every operator's signature.
    pub fn sign_all(&self, namespace: &str, digest: &Digest) -> Outcome<Vec<Approval>> {
        OPERATORS.iter().map(|(name, _)| self.sign(name, namespace, digest)).collect()
    }

    /// An operator's approval of an instruction, for the wire.
    pub fn approve(&self, operator: &str, instruction: &Instruction) -> Outcome<signer_wire::Approval> {
        let approval = self.sign(operator, "claviger-approval", &instruction.digest())?;
        Ok(signer_wire::Approval { operator: approval.operator.to_string(), signature: approval.signature })
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
