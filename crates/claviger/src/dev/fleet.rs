//! Three signers as processes of their own, each with its own directory.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use policy::Charter;
use serde_json::Value;
use signer_client::{ClientIdentity, SignerClient, admit_all};
use types::Approval;

use super::people::run;
use crate::Outcome;

const SIGNERS: [&str; 3] = ["s1", "s2", "s3"];

/// What a signer said of itself when it was set up.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Its name.
    pub signer: String,
    /// Key of its journal, hexadecimal.
    pub journal_key: String,
    /// Key expressions, one for each wallet.
    pub accounts: Vec<String>,
    /// Its certificate (PEM).
    pub certificate: String,
}

/// The running signers and connections to them.
pub struct Fleet {
    processes: Vec<Process>,
    /// Connections, in the signers' order.
    pub clients: Vec<SignerClient>,
}

struct Process {
    child: Child,
    address: SocketAddr,
    data: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of ours: beside this one, or beside the directory of a test.
pub fn program(name: &str) -> Outcome<PathBuf> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let found = own.ancestors().skip(1).take(2).map(|directory| directory.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("{name} is missing; run cargo build --workspace --bins"))
}

fn home(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("signer-{name}"))
}

/// Sets three signers up.
pub fn init(directory: &Path) -> Outcome<Vec<Enrolment>> {
    let program = program("claviger-signer")?;
    let init = |name: &&str| {
        let mut command = Command::new(&program);
        command.args(["init", "--id", name, "--network", "regtest", "--data"]).arg(home(directory, name));
        let json: Value = serde_json::from_slice(&run(&mut command)?).map_err(|error| error.to_string())?;
        let text = |field: &str| json.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let accounts = json.get("accounts").and_then(Value::as_array).into_iter().flatten();
        Ok(Enrolment {
            signer: text("signer"),
            journal_key: text("journal_key"),
            accounts: accounts.filter_map(Value::as_str).map(str::to_owned).collect(),
            certificate: text("certificate"),
        })
    };
    SIGNERS.iter().map(init).collect()
}

impl Fleet {
    /// Has every signer adopt the charter, starts them, and relays what they remember of each other.
    pub fn start(
        directory: &Path,
        enrolments: Vec<Enrolment>,
        charter: &Charter,
        approvals: &[Approval],
    ) -> Outcome<Fleet> {
        let identity = identity()?;
        let file = |name: &str, content: &[u8]| {
            let path = directory.join(name);
            fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(path)
        };
        let charter = file("charter.json", &charter.to_bytes())?;
        let certificate = file("client.pem", identity.certificate.as_bytes())?;
        let key = file("client.key", identity.key.as_bytes())?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(|error| error.to_string())?;
        for enrolment in &enrolments {
            file(&format!("signer-{}.pem", enrolment.signer), enrolment.certificate.as_bytes())?;
        }
        let mut processes = Vec::new();
        let mut clients = Vec::new();
        for enrolment in &enrolments {
            let mut adopt = Command::new(program("claviger-signer")?);
            adopt.arg("adopt").arg("--data").arg(home(directory, &enrolment.signer)).arg("--charter").arg(&charter);
            adopt.arg("--client-certificate").arg(&certificate);
            for approval in approvals {
                let path = file(&format!("charter-{}.sig", approval.operator), approval.signature.as_bytes())?;
                adopt.arg("--approval").arg(format!("{}={}", approval.operator, path.display()));
            }
            run(&mut adopt)?;
            let process = Process::start(&home(directory, &enrolment.signer), "127.0.0.1:0")?;
            let client = SignerClient::new(process.address, &enrolment.certificate, &identity);
            clients.push(client.map_err(|error| error.to_string())?);
            processes.push(process);
        }
        let (admitted, errors) = admit_all(&mut clients);
        if admitted < clients.len() {
            let errors: Vec<_> = errors.iter().map(|(position, error)| format!("{position}: {error}")).collect();
            return Err(format!("not every signer was admitted by its peers: {}", errors.join("; ")));
        }
        Ok(Fleet { processes, clients })
    }

    /// Kills one signer, as a crash does.
    pub fn kill(&mut self, place: usize) -> Outcome {
        let process = self.processes.get_mut(place).ok_or("no such signer")?;
        process.child.kill().map_err(|error| error.to_string())?;
        process.child.wait().map(|_| ()).map_err(|error| error.to_string())
    }

    /// Lets a signer hang, or go on: it keeps its connections and answers nothing.
    pub fn hang(&self, place: usize, hangs: bool) -> Outcome {
        let process = self.processes.get(place).ok_or("no such signer")?;
        let signal = if hangs { "-STOP" } else { "-CONT" };
        run(Command::new("kill").arg(signal).arg(process.child.id().to_string())).map(|_| ())
    }

    /// Starts a signer again, on the same data and port.
    pub fn restart(&mut self, place: usize) -> Outcome {
        let process = self.processes.get_mut(place).ok_or("no such signer")?;
        let again = Process::start(&process.data.clone(), &process.address.to_string())?;
        *process = again;
        Ok(())
    }

    /// Where the signers listen.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        SIGNERS.iter().copied().zip(self.processes.iter().map(|process| process.address))
    }
}

impl Process {
    fn start(data: &Path, listen: &str) -> Outcome<Process> {
        let mut command = Command::new(program("claviger-signer")?);
        command.args(["run", "--listen", listen, "--data"]).arg(data);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        let address = line.trim().strip_prefix("listening ").and_then(|address| address.parse().ok());
        match address {
            Some(address) => Ok(Process { child, address, data: data.to_owned() }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("the signer in {} did not start", data.display()))
            }
        }
    }
}

/// The online system's certificate.
fn identity() -> Outcome<ClientIdentity> {
    let pair = rcgen::KeyPair::generate().map_err(|error| error.to_string())?;
    let parameters = rcgen::CertificateParams::new(vec!["claviger".to_owned()]).map_err(|error| error.to_string())?;
    let certificate = parameters.self_signed(&pair).map_err(|error| error.to_string())?.pem();
    Ok(ClientIdentity { certificate, key: pair.serialize_pem() })
}
