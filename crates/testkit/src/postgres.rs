use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long PostgreSQL may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A PostgreSQL server of one's own: a new cluster on a socket in a temporary directory.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    directory: tempfile::TempDir,
}

impl Postgres {
    /// Starts it; the error says how to get one if there is none.
    pub fn start() -> Result<Postgres, String> {
        Postgres::start_in(&std::env::temp_dir())
    }

    /// Starts it with its data in a temporary directory in `place`.
    pub fn start_in(place: &Path) -> Result<Postgres, String> {
        let text = |error: io::Error| error.to_string();
        let programs = programs().ok_or("PostgreSQL is not here: run ./scripts/setup")?;
        let directory = tempfile::Builder::new().prefix("pg").tempdir_in(place).map_err(text)?;
        // PostgreSQL refuses to run as root; Debian's package has made a user for it.
        let user = if whoami()? == "0" { Some(id("postgres")?) } else { None };
        if let Some(id) = user {
            chown(directory.path(), Some(id), Some(id)).map_err(text)?;
        }
        let data = directory.path().join("data");
        let command = |program: &str| command(&programs.join(program), user, directory.path());
        let made = command("initdb")
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(text)?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let server = command("postgres")
            .args(["-c", "listen_addresses=", "-c", "max_connections=40", "-D"])
            .arg(&data)
            .arg("-k")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(text)?;
        let mut postgres = Postgres { server, directory };
        postgres.wait(&programs)?;
        Ok(postgres)
    }

    fn wait(&mut self, programs: &Path) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let ready = Command::new(programs.join("psql"))
                .args(["-U", "postgres", "-h"])
                .arg(self.directory.path())
                // An ordinary role, as in production: a superuser would not be held by what is revoked.
                .args(["-q", "-c", "CREATE ROLE claviger LOGIN", "-c", "CREATE DATABASE claviger OWNER claviger"])
                .stderr(Stdio::null())
                .status();
            if ready.is_ok_and(|status| status.success()) {
                return Ok(());
            }
            let ended = self.server.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || start.elapsed() > PATIENCE {
                return Err("PostgreSQL did not start".to_owned());
            }
            std::thread::park_timeout(Duration::from_millis(30));
        }
    }

    /// Where it is, as the store takes it.
    pub fn url(&self) -> String {
        format!("postgres://claviger@localhost/claviger?host={}", self.directory.path().display())
    }

    /// Runs SQL as the owner of the database: what somebody with full write access can do.
    pub fn run(&self, sql: &str) -> Result<String, String> {
        let programs = programs().ok_or("PostgreSQL is not here")?;
        let output = Command::new(programs.join("psql"))
            .args(["-U", "claviger", "-v", "ON_ERROR_STOP=1", "-At", "-h"])
            .arg(self.directory.path())
            .args(["-c", sql, "claviger"])
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A fast shutdown gives its shared memory back; killing would leave it.
        let stopped = Command::new("kill").args(["-INT", &self.server.id().to_string()]).status();
        if stopped.is_err() {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
    }
}

fn programs() -> Option<PathBuf> {
    let debian =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<_> = debian.chain(std::env::split_paths(&paths)).collect();
    found.retain(|directory| ["initdb", "postgres", "psql"].iter().all(|name| directory.join(name).exists()));
    found.into_iter().next()
}

fn whoami() -> Result<String, String> {
    let output = Command::new("id").arg("-u").output().map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn id(user: &str) -> Result<u32, String> {
    let output = Command::new("id").args(["-u", user]).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.parse().map_err(|_| format!("there is no user {user}: run ./scripts/setup"))
}

fn command(program: &Path, user: Option<u32>, directory: &Path) -> Command {
    let mut command = match user {
        Some(id) => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={id}")).arg(format!("--regid={id}")).arg("--clear-groups").arg(program);
            command
        }
        None => Command::new(program),
    };
    command.current_dir(directory);
    command
}
