//! A bitcoind of one's own on a private chain, for development and tests. Its own wallet plays the outside world.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bitcoin::Txid;
use serde_json::{Value, json};

use crate::client::{Client, NodeError};

/// The wallet in bitcoind that pays and mines.
const OUTSIDE: &str = "outside";
/// Blocks that are mined at the start: the first few hold coins that can be spent, so that several payments need no change of each
/// other, which the wallet knows a moment late under load.
pub const START_HEIGHT: u32 = 104;
/// What bitcoind's wallet says when it has too little.
const INSUFFICIENT: i64 = -6;
/// How long its wallet may take to know its own coins.
const SETTLE: Duration = Duration::from_secs(10);
/// How long bitcoind may take to start.
const START: Duration = Duration::from_secs(60);

/// A running bitcoind; it is stopped when this is dropped.
#[derive(Debug)]
pub struct Bitcoind {
    child: Child,
    program: PathBuf,
    directory: PathBuf,
    port: u16,
    client: Client,
}

/// Why it does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No program.
    #[error("bitcoind was not found: run `cargo xtask nodes`, or name one in BITCOIND")]
    Missing,
    /// It cannot be started.
    #[error("bitcoind cannot be started")]
    Process(#[from] io::Error),
    /// It ended at once.
    #[error("bitcoind ended while starting; see debug.log in {0}")]
    Ended(PathBuf),
    /// It does not answer.
    #[error("bitcoind does not answer")]
    Node(#[from] NodeError),
}

/// Finds bitcoind: `BITCOIND`, `PATH`, or `target/nodes` of the project in or above `from`.
pub fn find(from: &Path) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("BITCOIND") {
        return Some(PathBuf::from(path));
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&paths).map(|directory| directory.join("bitcoind"));
    let fetched = from.ancestors().map(|directory| directory.join("target/nodes/bitcoind"));
    on_path.chain(fetched).find(|path| path.is_file())
}

impl Bitcoind {
    /// Starts one with its data in `directory`, listening on this machine only, with a wallet of matured coins.
    pub fn start(directory: &Path) -> Result<Bitcoind, StartError> {
        let here = std::env::current_dir()?;
        let program = find(&here).ok_or(StartError::Missing)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let client = Client::new(&format!("http://127.0.0.1:{port}"), directory.join("regtest/.cookie"));
        let child = spawn(&program, directory, port)?;
        let mut node = Bitcoind { child, program, directory: directory.to_owned(), port, client };
        node.wait()?;
        node.client.call("createwallet", json!([OUTSIDE]))?;
        node.mine(START_HEIGHT)?;
        Ok(node)
    }

    /// Stops it in good order: what it knows is on its disk.
    pub fn stop(&mut self) -> Result<(), StartError> {
        self.client.call("stop", json!([]))?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops it as a crash does: blocks that it had not written yet are lost.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// Starts it again on the same data and port.
    pub fn restart(&mut self) -> Result<(), StartError> {
        let _ = self.kill();
        self.child = spawn(&self.program, &self.directory, self.port)?;
        self.wait()?;
        // A wallet that is loaded already is as good.
        let _ = self.client.call("loadwallet", json!([OUTSIDE]));
        Ok(())
    }

    fn wait(&mut self) -> Result<(), StartError> {
        let start = Instant::now();
        loop {
            match self.client.chain_info() {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() > START => return Err(error.into()),
                Err(_) if self.child.try_wait()?.is_some() => return Err(StartError::Ended(self.directory.clone())),
                Err(_) => std::thread::park_timeout(Duration::from_millis(50)),
            }
        }
    }

    /// A client of this node.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Mines `blocks` blocks to the outside.
    pub fn mine(&self, blocks: u32) -> Result<(), NodeError> {
        let address = self.outside_address()?;
        self.client.call("generatetoaddress", json!([blocks, address])).map(|_| ())
    }

    /// Mines `blocks` blocks without any of the transactions that wait.
    pub fn mine_empty(&self, blocks: u32) -> Result<(), NodeError> {
        for _ in 0..blocks {
            let address = self.outside_address()?;
            self.client.call("generateblock", json!([address, []]))?;
        }
        Ok(())
    }

    /// Leaves the newest `blocks` blocks of the best chain, as a reorganization does; their transactions wait again.
    pub fn leave(&self, blocks: u32) -> Result<(), NodeError> {
        let info = self.client.chain_info()?;
        let hash = self.client.block_hash(info.height.saturating_add(1).saturating_sub(blocks))?;
        self.client.call("invalidateblock", json!([hash.to_string()])).map(|_| ())
    }

    /// Gives another node every block of this one, as the network would.
    pub fn tell(&self, other: &Bitcoind) -> Result<(), NodeError> {
        for height in 1..=self.client.chain_info()?.height {
            let hash = self.client.block_hash(height)?;
            let block = self.client.call("getblock", json!([hash.to_string(), 0]))?;
            other.client.call("submitblock", json!([block]))?;
        }
        Ok(())
    }

    /// A new address of the outside world.
    pub fn outside_address(&self) -> Result<String, NodeError> {
        let address = self.client.call_wallet(OUTSIDE, "getnewaddress", json!([]))?;
        Ok(address.as_str().unwrap_or_default().to_owned())
    }

    /// Pays `sats` from the outside to `address`; waits for nobody.
    pub fn pay(&self, address: &str, sats: u64) -> Result<Txid, NodeError> {
        let amount = bitcoin::Amount::from_sat(sats).to_string_in(bitcoin::Denomination::Bitcoin);
        let amount: Value = serde_json::from_str(&amount).map_err(|error| NodeError::Answer(error.to_string()))?;
        let parameters = json!({"address": address, "amount": amount, "fee_rate": 2});
        let start = Instant::now();
        let txid = loop {
            match self.client.call_wallet(OUTSIDE, "sendtoaddress", parameters.clone()) {
                // What it has just received or returned to itself is known to the wallet a moment later.
                Err(NodeError::Refused { code: INSUFFICIENT, .. }) if start.elapsed() < SETTLE => {
                    std::thread::park_timeout(Duration::from_millis(50));
                }
                answer => break answer?,
            }
        };
        let txid = txid.as_str().unwrap_or_default();
        txid.parse().map_err(|_| NodeError::Answer("no transaction id".to_owned()))
    }
}

impl Drop for Bitcoind {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn spawn(program: &Path, directory: &Path, port: u16) -> io::Result<Child> {
    std::fs::create_dir_all(directory)?;
    Command::new(program)
        .args(["-regtest", "-listen=0", "-rest=1", "-txindex=1", "-fallbackfee=0.00002", "-maxtipage=999999999"])
        .args(["-rpcservertimeout=3600", "-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-printtoconsole=0"])
        .arg(format!("-datadir={}", directory.display()))
        .arg(format!("-rpcport={port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
