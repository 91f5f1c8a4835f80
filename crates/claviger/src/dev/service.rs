//! The online system as a process of its own.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::fleet::program;
use crate::Outcome;
use crate::config::Config;

/// A running `claviger serve`; it is killed when this is dropped.
pub struct Service {
    child: Option<Child>,
    config: PathBuf,
    /// Where customers' requests are answered.
    pub customers: SocketAddr,
    /// Where operators' requests are answered.
    pub operators: SocketAddr,
}

impl Service {
    /// Writes the configuration and starts the process; its words go to `claviger.log` beside it.
    pub fn start(directory: &Path, config: &Config) -> Outcome<Service> {
        let path = directory.join("claviger.json");
        let text = serde_json::to_string_pretty(config).map_err(|error| error.to_string())?;
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut service = Service { child: None, config: path, customers: nowhere, operators: nowhere };
        service.restart()?;
        // From now on at the same ports.
        let config =
            Config { customer_listen: service.customers, operator_listen: service.operators, ..config.clone() };
        let text = serde_json::to_string_pretty(&config).map_err(|error| error.to_string())?;
        fs::write(&service.config, text).map_err(|error| error.to_string())?;
        Ok(service)
    }

    /// Number of the process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills the process, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the process, anew if it runs.
    pub fn restart(&mut self) -> Outcome {
        self.restart_with(Command::new(program("claviger")?))
    }

    /// Starts the process through a command that takes the program's arguments.
    pub fn restart_with(&mut self, mut command: Command) -> Outcome {
        self.kill();
        let log = self.config.with_file_name("claviger.log");
        let log = File::options().create(true).append(true).open(&log).map_err(|error| error.to_string())?;
        command.args(["serve", "--config"]).arg(&self.config);
        let mut child =
            command.stdout(Stdio::piped()).stderr(log).spawn().map_err(|error| format!("claviger serve: {error}"))?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("claviger serve has no output")?).lines();
        let mut address = |name: &str| {
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            line.strip_prefix(name).and_then(|address| address.trim().parse().ok())
        };
        let found = (address("customers "), address("operators "));
        self.child = Some(child);
        if let (Some(customers), Some(operators)) = found {
            self.customers = customers;
            self.operators = operators;
            return Ok(());
        }
        self.kill();
        let log = self.config.with_file_name("claviger.log");
        let words = fs::read_to_string(&log).unwrap_or_default();
        Err(format!("claviger serve did not start: {}", words.lines().last().unwrap_or_default()))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
