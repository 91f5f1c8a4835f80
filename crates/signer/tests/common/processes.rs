//! Three signers as processes of the real program, behind mutual TLS.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use signer::enrol::{Enrolment, files};
use signer::vault::Vault;
use signer_client::{ClientIdentity, SignerClient, admit_all};
use signer_wire::RequestBody;

use super::House;

const PROGRAM: &str = env!("CARGO_BIN_EXE_claviger-signer");

pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// Starts the signer on a free port and waits until it listens. Signals that stop a process whose file grows beyond a
    /// limit are ignored, so that such a limit looks like a full disk.
    pub fn start(directory: &Path, further: &[String]) -> Process {
        let mut child = Command::new("sh")
            .args([
                "-c",
                r#"trap '' XFSZ; exec "$0" run --listen 127.0.0.1:0 --landlock-if-there --data "$@""#,
                PROGRAM,
            ])
            .arg(directory)
            .args(further)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("listening ").expect("the signer says where it listens").parse().unwrap();
        Process { child, address }
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Limits the size of files that the process may write, in bytes; `unlimited` lifts it.
    pub fn limit_files(&self, bytes: &str) {
        let status = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), &format!("--fsize={bytes}:unlimited")])
            .status();
        assert!(status.expect("prlimit is needed: install the package util-linux").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Fleet {
    pub house: House,
    pub directories: Vec<tempfile::TempDir>,
    pub enrolments: Vec<Enrolment>,
    pub processes: Vec<Process>,
    pub identity: ClientIdentity,
    /// The shares that open each signer's keys, in a directory of its name.
    pub secrets: tempfile::TempDir,
    pub special: Special,
}

/// What is different about the first signer of a fleet.
#[derive(Default)]
pub struct Special {
    /// Further arguments of `init`; where they seal, they take the place of shares.
    pub init: Vec<String>,
    /// Further arguments of `run`.
    pub run: Vec<String>,
    /// Arguments of `open` in the place of shares.
    pub open: Vec<String>,
}

/// A client's certificate of its own making.
pub fn identity() -> ClientIdentity {
    let pair = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["claviger".to_owned()]).unwrap();
    ClientIdentity { certificate: parameters.self_signed(&pair).unwrap().pem(), key: pair.serialize_pem() }
}

pub fn run(arguments: &[&str]) -> std::process::Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

impl Fleet {
    pub fn start() -> Fleet {
        Fleet::start_with(Special::default(), |_| {})
    }

    /// With another first signer, and another first charter.
    pub fn start_with(special: Special, decide: impl Fn(&mut policy::Charter)) -> Fleet {
        let fleet = Fleet::start_closed(special, decide);
        for position in 0..3 {
            let output = fleet.open(position);
            assert!(output.status.success(), "{output:?}");
        }
        fleet
    }

    /// Admitted, with keys that may be opened and are closed.
    pub fn start_closed(special: Special, decide: impl Fn(&mut policy::Charter)) -> Fleet {
        let directories: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let path = |position: usize| directories[position].path().to_str().unwrap().to_owned();
        let secrets = tempfile::tempdir().unwrap();
        let mut enrolments = Vec::new();
        for position in 0..3 {
            let id = format!("s{}", position + 1);
            // Sealed for two of two people; their shares lie in a directory of their own.
            let shares = secrets.path().join(&id);
            std::fs::create_dir(&shares).unwrap();
            let seal = format!("desk=shares:2:kim,kit:{}", shares.display());
            let init = ["init", "--data", &path(position), "--id", &id, "--network", "regtest", "--person", "carl"];
            let further: Vec<&str> = special.init.iter().map(String::as_str).filter(|_| position == 0).collect();
            let seal: &[&str] = if further.contains(&"--seal") { &[] } else { &["--seal", &seal] };
            let output = run(&[init.as_slice(), seal, &further].concat());
            assert!(output.status.success(), "{output:?}");
            enrolments.push(serde_json::from_slice(&output.stdout).unwrap());
        }
        let house = House::new(&enrolments, decide);
        let identity = identity();
        let file = |name: &str, content: &[u8]| {
            let path = house.directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let charter = file("charter.json", &house.charter.to_bytes());
        let certificate = file("client.pem", identity.certificate.as_bytes());
        let approvals: Vec<_> = house
            .genesis
            .iter()
            .map(|approval| {
                format!(
                    "{}={}",
                    approval.operator,
                    file(&format!("genesis-{}", approval.operator), approval.signature.as_bytes())
                )
            })
            .collect();
        for position in 0..3 {
            let (one, two) = (&approvals[0], &approvals[1]);
            let data = path(position);
            let adopt = [
                "adopt",
                "--data",
                &data,
                "--charter",
                &charter,
                "--client-certificate",
                &certificate,
                "--approval",
                one,
            ];
            assert!(!run(&adopt).status.success(), "one signature is no quorum");
            let output = run(&[adopt.as_slice(), &["--approval", two]].concat());
            assert!(output.status.success(), "{output:?}");
        }
        let processes = directories
            .iter()
            .enumerate()
            .map(|(position, directory)| {
                Process::start(directory.path(), if position == 0 { &special.run } else { &[] })
            })
            .collect();
        let fleet = Fleet { house, directories, enrolments, processes, identity, secrets, special };
        let (admitted, errors) = admit_all(&mut fleet.clients());
        assert_eq!(admitted, 3, "{errors:?}");
        let activation = fleet.house.activation("hot", 86_400, 10_000, signer::server::now());
        for client in &mut fleet.clients() {
            client.call(RequestBody::Execute { instruction: activation.clone() }).unwrap();
        }
        fleet
    }

    pub fn client(&self, position: usize) -> SignerClient {
        let certificate = &self.enrolments[position].certificate;
        SignerClient::new(self.processes[position].address, certificate, &self.identity).unwrap()
    }

    pub fn clients(&self) -> Vec<SignerClient> {
        (0..3).map(|position| self.client(position)).collect()
    }

    /// Starts a signer again; what a quorum still allows is opened again.
    pub fn restart(&mut self, position: usize) {
        self.processes[position].kill();
        let further: &[String] = if position == 0 { &self.special.run } else { &[] };
        self.processes[position] = Process::start(self.directories[position].path(), further);
        let output = self.open(position);
        assert!(output.status.success(), "{output:?}");
    }

    /// The files with the shares that open a signer's account keys.
    pub fn shares(&self, position: usize) -> Vec<std::path::PathBuf> {
        self.shares_of(position, Vault::Accounts)
    }

    /// The files with the shares that open one of a signer's sealed files.
    pub fn shares_of(&self, position: usize, vault: Vault) -> Vec<std::path::PathBuf> {
        let envelope = vault.read(self.directories[position].path()).unwrap();
        let slot = envelope.slot(&"desk".parse().unwrap()).unwrap();
        let sealing::SlotKind::Shares { set, .. } = slot.kind() else { panic!("another kind of slot") };
        let directory = self.secrets.path().join(format!("s{}", position + 1));
        ["kim", "kit"].map(|holder| directory.join(format!("{holder}.desk.{set}.share"))).to_vec()
    }

    /// Kim opens what may be opened, with both shares or what is special about the signer.
    pub fn open(&self, position: usize) -> std::process::Output {
        if position == 0 && !self.special.open.is_empty() {
            let further: Vec<&str> = self.special.open.iter().map(String::as_str).collect();
            return self.open_with(position, &further);
        }
        let shares = self.shares(position);
        let [one, two] = [&shares[0], &shares[1]].map(|path| path.to_str().unwrap());
        self.open_with(position, &["--share", one, "--share", two])
    }

    /// Kim opens what may be opened, with whatever these arguments name.
    pub fn open_with(&self, position: usize, further: &[&str]) -> std::process::Output {
        let data = self.directories[position].path().to_str().unwrap();
        run(&[&["open", "--data", data, "--person", "kim"], further].concat())
    }

    pub fn journal_bytes(&self, position: usize) -> u64 {
        std::fs::metadata(self.directories[position].path().join(files::JOURNAL)).unwrap().len()
    }
}
