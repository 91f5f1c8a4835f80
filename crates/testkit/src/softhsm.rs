use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where the library lies: Debian, Fedora, built by hand.
const MODULES: &[&str] =
    &["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"];
/// Names the configuration to SoftHSM itself.
const CONFIGURATION: &str = "SOFTHSM2_CONF";
/// Names the directory to the process that was started with it.
const DIRECTORY: &str = "TESTKIT_SOFTHSM";
const SO_PIN: &str = "officer-of-a-test";

/// A SoftHSM of one's own, with a directory and tokens that nobody else sees.
///
/// It takes its configuration from the environment of the whole process, so that whoever needs one starts itself again
/// as a child.
#[derive(Debug)]
pub struct SoftHsm {
    directory: PathBuf,
}

/// A token, as what it is on the disk: whoever moves its directory pulls the device out.
#[derive(Debug)]
pub struct SoftToken {
    home: PathBuf,
    away: PathBuf,
}

impl SoftHsm {
    /// Runs the body of the test `name` (its whole path in its program) in a child of its own, and fails as it fails.
    pub fn run(name: &str, body: impl FnOnce(&SoftHsm)) -> Result<(), String> {
        if let Some(hsm) = SoftHsm::here()? {
            body(&hsm);
            return Ok(());
        }
        let output = again(&[name, "--exact", "--nocapture", "--test-threads=1"], Command::output)?;
        let Output { status, stdout, stderr } = output;
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        // A name that fits no test would otherwise pass without having tried anything.
        if status.success() && stdout.contains(" 1 passed") { Ok(()) } else { Err(format!("{name}\n{stdout}{stderr}")) }
    }

    /// Runs a program's body, with the program's own arguments, in a child; its output is the program's.
    pub fn run_program(body: impl FnOnce(&SoftHsm)) -> Result<(), String> {
        if let Some(hsm) = SoftHsm::here()? {
            body(&hsm);
            return Ok(());
        }
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let status = again(&arguments, Command::status)?;
        if status.success() { Ok(()) } else { Err(format!("the child ended with {status}")) }
    }

    /// The one that this process was started with, if it was.
    fn here() -> Result<Option<SoftHsm>, String> {
        SoftHsm::module()?;
        Ok(std::env::var_os(DIRECTORY).map(|directory| SoftHsm { directory: directory.into() }))
    }

    /// The PKCS#11 library; the error says how to get it.
    pub fn module() -> Result<PathBuf, String> {
        let found = MODULES.iter().map(PathBuf::from).find(|path| path.exists());
        found.ok_or_else(|| "SoftHSM is not here: run ./scripts/setup".to_owned())
    }

    /// Makes a token with this label and user PIN.
    pub fn make_token(&self, label: &str, pin: &str) -> Result<SoftToken, String> {
        let before = self.homes()?;
        let output = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", pin])
            .output()
            .map_err(|error| format!("softhsm2-util: {error}; run ./scripts/setup"))?;
        if !output.status.success() {
            return Err(format!("softhsm2-util: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let home = self.homes()?.into_iter().find(|home| !before.contains(home)).ok_or("no token was made")?;
        let away = self.directory.join("away").join(home.file_name().unwrap_or_default());
        Ok(SoftToken { home, away })
    }

    /// Adds a line to the configuration; it counts from the next time that the library is started.
    pub fn configure(&self, line: &str) -> Result<(), String> {
        let path = self.directory.join("softhsm2.conf");
        let file = fs::OpenOptions::new().append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{line}")).map_err(|error| error.to_string())
    }

    fn homes(&self) -> Result<Vec<PathBuf>, String> {
        let entries = fs::read_dir(self.directory.join("tokens")).map_err(|error| error.to_string())?;
        Ok(entries.flatten().map(|entry| entry.path()).collect())
    }
}

impl SoftToken {
    /// Pulls it out.
    pub fn remove(&self) -> io::Result<()> {
        fs::rename(&self.home, &self.away)
    }

    /// Puts it in again.
    pub fn put_back(&self) -> io::Result<()> {
        fs::rename(&self.away, &self.home)
    }

    /// Destroys it, with every key in it.
    pub fn destroy(self) -> io::Result<()> {
        fs::remove_dir_all(&self.home)
    }

    /// Where its files are.
    pub fn home(&self) -> &Path {
        &self.home
    }
}

/// Starts this program again, with a SoftHSM that vanishes when the child has ended.
fn again<T>(arguments: &[&str], run: impl FnOnce(&mut Command) -> io::Result<T>) -> Result<T, String> {
    let text = |error: io::Error| error.to_string();
    let directory = tempfile::Builder::new().prefix("softhsm").tempdir().map_err(text)?;
    let tokens = directory.path().join("tokens");
    fs::create_dir(&tokens).map_err(text)?;
    fs::create_dir(directory.path().join("away")).map_err(text)?;
    let configuration = directory.path().join("softhsm2.conf");
    let lines = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    fs::write(&configuration, lines).map_err(text)?;
    let mut command = Command::new(std::env::current_exe().map_err(text)?);
    command.args(arguments).env(CONFIGURATION, &configuration).env(DIRECTORY, directory.path());
    run(&mut command).map_err(text)
}
