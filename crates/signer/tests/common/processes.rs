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
    pub fn start(directory: &Path) -> Process {
        let mut child = Command::new("sh")
            .args([
                "-c",
                r#"trap '' XFSZ; exec "$0" run --data "$1" --listen 127.0.0.1:0 --landlock-if-there"#,
                PROGRAM,
            ])
            .arg(directory)
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
            let output = run(&[init.as_slice(), &["--seal", &seal]].concat());
            assert!(output.status.success(), "{output:?}");
            enrolments.push(serde_json::from_slice(&output.stdout).unwrap());
        }
        let house = House::new(&enrolments, |_| {});
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
        let processes = directories.iter().map(|directory| Process::start(directory.path())).collect();
        let fleet = Fleet { house, directories, enrolments, processes, identity, secrets };
        let (admitted, errors) = admit_all(&mut fleet.clients());
        assert_eq!(admitted, 3, "{errors:?}");
        let activation = fleet.house.activation("hot", 86_400, 10_000, signer::server::now());
        for (position, client) in fleet.clients().iter_mut().enumerate() {
            client.call(RequestBody::Execute { instruction: activation.clone() }).unwrap();
            let output = fleet.open(position);
            assert!(output.status.success(), "{output:?}");
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
        self.processes[position] = Process::start(self.directories[position].path());
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

    /// Kim opens what may be opened, with both shares.
    pub fn open(&self, position: usize) -> std::process::Output {
        let shares = self.shares(position);
        let data = self.directories[position].path().to_str().unwrap();
        let [one, two] = [&shares[0], &shares[1]].map(|path| path.to_str().unwrap());
        run(&["open", "--data", data, "--person", "kim", "--share", one, "--share", two])
    }

    pub fn journal_bytes(&self, position: usize) -> u64 {
        std::fs::metadata(self.directories[position].path().join(files::JOURNAL)).unwrap().len()
    }
}
