//! Three signers as processes of their own, each with its own directory, and three more without a network that wait in theirs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use policy::Charter;
use serde_json::Value;
use signer_client::{ClientIdentity, SignerClient, admit_all};
use signer_wire::RequestBody;
use types::{Approval, Body, Instruction, KeyStep, Step};

use super::people::{People, run};
use crate::Outcome;

const SIGNERS: [&str; 3] = ["s1", "s2", "s3"];
/// Signers without a network, who hold the keys of the cold wallet.
const COLD: [&str; 3] = ["c1", "c2", "c3"];
/// Who administers which signer's machine, in the order of both lists.
const CUSTODIANS: [&str; 6] = ["cora", "cyril", "curt", "celia", "caspar", "clara"];
/// Who holds what opens the signers' keys: two of these three, none of them a custodian.
const HOLDERS: [&str; 3] = ["kim", "kit", "kai"];
/// How those ways to open are called.
const SLOT: &str = "desk";
/// How long keys are open in a development house, in seconds, and for how many signatures.
const ACTIVATION: (u64, u64) = (7 * 86_400, 100_000);

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
    /// Whether it has no network.
    pub offline: bool,
    /// Who administers its machine.
    pub custodian: String,
}

/// The running signers and connections to them.
pub struct Fleet {
    processes: Vec<Process>,
    /// Connections, in the signers' order.
    pub clients: Vec<SignerClient>,
    directory: PathBuf,
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

/// Where the shares lie that open a signer's keys. In production each is with its holder.
fn shares(directory: &Path, name: &str) -> PathBuf {
    directory.join("people").join(format!("shares-{name}"))
}

/// Sets all signers up.
pub fn init(directory: &Path) -> Outcome<Vec<Enrolment>> {
    let program = program("claviger-signer")?;
    let init = |(name, custodian): (&str, &str)| {
        let shares = shares(directory, name);
        fs::create_dir_all(&shares).map_err(|error| format!("{}: {error}", shares.display()))?;
        let mut command = Command::new(&program);
        command.args(["init", "--id", name, "--network", "regtest", "--person", custodian, "--data"]);
        command.arg(home(directory, name)).arg("--seal");
        command.arg(format!("{SLOT}=shares:2:{}:{}", HOLDERS.join(","), shares.display()));
        let json: Value = serde_json::from_slice(&run(&mut command)?).map_err(|error| error.to_string())?;
        let text = |field: &str| json.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let accounts = json.get("accounts").and_then(Value::as_array).into_iter().flatten();
        Ok(Enrolment {
            signer: text("signer"),
            journal_key: text("journal_key"),
            accounts: accounts.filter_map(Value::as_str).map(str::to_owned).collect(),
            certificate: text("certificate"),
            offline: COLD.contains(&name),
            custodian: custodian.to_owned(),
        })
    };
    SIGNERS.into_iter().chain(COLD).zip(CUSTODIANS).map(init).collect()
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
        let charter_file = file("charter.json", &charter.to_bytes())?;
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
            adopt
                .arg("adopt")
                .arg("--data")
                .arg(home(directory, &enrolment.signer))
                .arg("--charter")
                .arg(&charter_file);
            if !enrolment.offline {
                adopt.arg("--client-certificate").arg(&certificate);
            }
            for approval in approvals {
                let path = file(&format!("charter-{}.sig", approval.operator), approval.signature.as_bytes())?;
                adopt.arg("--approval").arg(format!("{}={}", approval.operator, path.display()));
            }
            run(&mut adopt)?;
            if enrolment.offline {
                continue;
            }
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
        Ok(Fleet { processes, clients, directory: directory.to_owned() })
    }

    /// Two people let the hot wallet's keys be opened, and two others open them.
    pub fn activate(&mut self, charter: &Charter, people: &People) -> Outcome {
        let id = |text: &str| format!("{text} has no form");
        let created = crate::custody::now().whole_seconds();
        let (seconds, signatures) = ACTIVATION;
        let (seconds, signatures) =
            (seconds.min(charter.activation.seconds_max), signatures.min(charter.activation.signatures_max));
        let step = KeyStep {
            requester: "oona".parse().map_err(|_| id("oona"))?,
            signer: types::EVERY_SIGNER.parse().map_err(|_| id("all"))?,
            step: Step::Activate,
            wallet: Some("hot".parse().map_err(|_| id("hot"))?),
            seconds,
            signatures,
            reason: "the house opens".to_owned(),
        };
        let instruction = Instruction {
            id: "activation-1".parse().map_err(|_| id("activation-1"))?,
            created,
            expires: created.plus_seconds(600),
            charter: charter.version,
            body: Body::KeyStep(step),
        };
        let approvals = ["olga", "omar"].map(|name| people.approve(name, &instruction));
        let approvals = approvals.into_iter().collect::<Outcome<Vec<_>>>()?;
        let wire = signer_wire::Instruction {
            canonical: String::from_utf8_lossy(&instruction.canonical()).into_owned(),
            evidence: signer_wire::Evidence { customer_request: None, approvals },
        };
        for client in &mut self.clients {
            client.call(RequestBody::Execute { instruction: wire.clone() }).map_err(|error| error.to_string())?;
        }
        (0..SIGNERS.len()).try_for_each(|place| self.open(place))
    }

    /// Kim and kit open a signer's keys.
    pub fn open(&self, place: usize) -> Outcome {
        let name = SIGNERS.get(place).ok_or("no such signer")?;
        let mut open = Command::new(program("claviger-signer")?);
        open.arg("open").arg("--data").arg(home(&self.directory, name)).args(["--person", "kim"]);
        for share in self.opening(name)? {
            open.arg("--share").arg(share);
        }
        run(&mut open).map(|_| ())
    }

    /// Kim closes a signer's keys.
    pub fn close(&self, place: usize) -> Outcome {
        let name = SIGNERS.get(place).ok_or("no such signer")?;
        let mut close = Command::new(program("claviger-signer")?);
        close.arg("close").arg("--data").arg(home(&self.directory, name));
        close.args(["--person", "kim", "--reason", "the day is over"]);
        run(&mut close).map(|_| ())
    }

    /// The shares of kim and kit, which open the keys of a signer. Each file's envelope has a set of its own; the newest is the accounts'.
    pub fn opening(&self, name: &str) -> Outcome<Vec<PathBuf>> {
        let sealed = home(&self.directory, name).join("accounts.sealed");
        let sealed = fs::read_to_string(&sealed).map_err(|error| format!("{}: {error}", sealed.display()))?;
        let directory = shares(&self.directory, name);
        let mut found = Vec::new();
        for entry in fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))? {
            let path = entry.map_err(|error| error.to_string())?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let parts: Vec<&str> = file.split('.').collect();
            if let [holder, SLOT, set, "share"] = parts.as_slice()
                && HOLDERS.get(..2).is_some_and(|two| two.contains(holder))
                && sealed.contains(&format!("\"{set}\""))
            {
                found.push(path);
            }
        }
        Ok(found)
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
        self.open(place)
    }

    /// Where the signers listen.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        SIGNERS.iter().copied().zip(self.processes.iter().map(|process| process.address))
    }
}

impl Process {
    fn start(data: &Path, listen: &str) -> Outcome<Process> {
        let mut command = Command::new(program("claviger-signer")?);
        // A house for trying things out runs on every kernel.
        command.args(["run", "--listen", listen, "--landlock-if-there", "--data"]).arg(data);
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
