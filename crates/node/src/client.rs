use std::path::PathBuf;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize, serialize_hex};
use bitcoin::{Block, BlockHash, OutPoint, Transaction, TxOut, Txid};
use serde_json::{Value, json};
use types::Network;

use crate::block::{BlockFault, check_contents};

/// How long a node may take; a full validation of a large block fits.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest answer, in bytes: a full block as hexadecimal digits fits.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// What a node did not do, and whether asking again can help.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Nobody answers; ask again.
    #[error("the node at {url} does not answer")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// Why.
        #[source]
        cause: Box<ureq::Error>,
    },
    /// It is starting; ask again.
    #[error("the node is still starting: {0}")]
    Warming(String),
    /// Its cookie file is not there: the node is down, or keeps it elsewhere. Ask again.
    #[error("the node's cookie file {0} is not there; is the node running?")]
    NoCookie(PathBuf),
    /// It does not know the credentials.
    #[error("the node refuses the credentials; check its cookie file")]
    Credentials,
    /// It does not have what was asked for.
    #[error("the node does not know {0}")]
    Unknown(String),
    /// It refused, with its own code and words.
    #[error("the node refused ({code}): {reason}")]
    Refused {
        /// bitcoind's error code.
        code: i64,
        /// bitcoind's words.
        reason: String,
    },
    /// It gave something for a block that is none.
    #[error("the node gave a block that cannot be: {0}; nothing is taken from it")]
    Block(#[from] crate::block::BlockFault),
    /// It gave another transaction than the one that was asked for: nothing of it is believed.
    #[error("the node gave another transaction than was asked for: {found} for {asked}")]
    Transaction {
        /// What was asked for.
        asked: Txid,
        /// What came.
        found: Txid,
    },
    /// It answered something that cannot be read.
    #[error("the node's answer cannot be read: {0}")]
    Answer(String),
}

impl NodeError {
    /// Whether asking again, unchanged, can help.
    pub const fn retry(&self) -> bool {
        matches!(self, NodeError::Unreachable { .. } | NodeError::Warming(_) | NodeError::NoCookie(_))
    }
}

/// bitcoind's code while it starts (RPC_IN_WARMUP).
const WARMING: i64 = -28;
/// bitcoind's code for what it does not have (RPC_INVALID_ADDRESS_OR_KEY).
const NOT_FOUND: i64 = -5;
/// bitcoind's code for a transaction that is in the chain already (RPC_VERIFY_ALREADY_IN_UTXO_SET).
const ALREADY_CONFIRMED: i64 = -27;

/// The best chain, as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainInfo {
    /// The network.
    pub network: Network,
    /// Height of the tip.
    pub height: u32,
    /// Hash of the tip.
    pub tip: BlockHash,
    /// Whether it says of itself that it is still catching up.
    pub catching_up: bool,
}

/// A client of one node.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    url: String,
    cookie: PathBuf,
}

impl Client {
    /// A client of the node at `url` (`http://HOST:PORT`) that authenticates with the node's cookie file, read at each call,
    /// because a restart changes it.
    pub fn new(url: &str, cookie: PathBuf) -> Client {
        Client::with_patience(url, cookie, PATIENCE)
    }

    /// The same, of a node that others run and that may hold nobody up: each call ends after `patience`, answered or not.
    pub fn with_patience(url: &str, cookie: PathBuf, patience: Duration) -> Client {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(patience))
            // A new connection for each call: one that the node is about to drop can swallow a request and leave it unanswered.
            .max_idle_connections(0)
            .max_idle_connections_per_host(0)
            .http_status_as_error(false)
            .build();
        Client { agent: config.into(), url: url.to_owned(), cookie }
    }

    /// Where the node is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method of the node's JSON-RPC interface.
    pub fn call(&self, method: &str, parameters: Value) -> Result<Value, NodeError> {
        self.post(&self.url, method, parameters)
    }

    /// Calls a method on one of the node's own wallets. For development: the node's wallet never holds custody's coins.
    pub fn call_wallet(&self, wallet: &str, method: &str, parameters: Value) -> Result<Value, NodeError> {
        self.post(&format!("{}/wallet/{wallet}", self.url), method, parameters)
    }

    fn post(&self, url: &str, method: &str, parameters: Value) -> Result<Value, NodeError> {
        let cookie = std::fs::read_to_string(&self.cookie).map_err(|_| NodeError::NoCookie(self.cookie.clone()))?;
        let body = json!({"jsonrpc": "1.0", "id": "claviger", "method": method, "params": parameters}).to_string();
        let credentials = format!("Basic {}", Base64::encode_string(cookie.trim().as_bytes()));
        let send =
            || self.agent.post(url).header("Authorization", &credentials).content_type("application/json").send(&body);
        // A node that is busy refuses connections for a moment.
        let mut response = twice(send).map_err(|cause| self.unreachable(cause))?;
        if response.status() == 401 {
            return Err(NodeError::Credentials);
        }
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|cause| self.unreachable(cause))?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| NodeError::Answer(error.to_string()))?;
        let Some(error) = answer.get("error").filter(|error| !error.is_null()) else {
            return Ok(answer.get("result").cloned().unwrap_or_default());
        };
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        let reason = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        Err(match code {
            WARMING => NodeError::Warming(reason),
            NOT_FOUND => NodeError::Unknown(reason),
            _ => NodeError::Refused { code, reason },
        })
    }

    fn rest(&self, path: &str) -> Result<Vec<u8>, NodeError> {
        let url = format!("{}/rest/{path}", self.url);
        let get = || self.agent.get(&url).call();
        let mut response = twice(get).map_err(|cause| self.unreachable(cause))?;
        let status = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let bytes = bytes.map_err(|cause| self.unreachable(cause))?;
        match status {
            200 => Ok(bytes),
            404 => Err(NodeError::Unknown(path.to_owned())),
            503 => Err(NodeError::Warming(String::from_utf8_lossy(&bytes).trim().to_owned())),
            other => {
                Err(NodeError::Refused { code: i64::from(other), reason: format!("REST {path}; is -rest=1 set?") })
            }
        }
    }

    fn unreachable(&self, cause: ureq::Error) -> NodeError {
        NodeError::Unreachable { url: self.url.clone(), cause: Box::new(cause) }
    }

    /// The best chain.
    pub fn chain_info(&self) -> Result<ChainInfo, NodeError> {
        let info = self.call("getblockchaininfo", json!([]))?;
        let network = match text(&info, "chain")? {
            "main" => Network::Bitcoin,
            "testnet4" => Network::Testnet4,
            "signet" => Network::Signet,
            "regtest" => Network::Regtest,
            other => return Err(NodeError::Answer(format!("unknown chain {other}"))),
        };
        let height = info.get("blocks").and_then(Value::as_u64).and_then(|height| u32::try_from(height).ok());
        Ok(ChainInfo {
            network,
            height: height.ok_or_else(|| NodeError::Answer("no height".to_owned()))?,
            tip: parse(text(&info, "bestblockhash")?)?,
            catching_up: info.get("initialblockdownload").and_then(Value::as_bool).unwrap_or(true),
        })
    }

    /// Hash of the block at `height` of the best chain; [`NodeError::Refused`] above the tip.
    pub fn block_hash(&self, height: u32) -> Result<BlockHash, NodeError> {
        let hash = self.call("getblockhash", json!([height]))?;
        parse(hash.as_str().unwrap_or_default())
    }

    /// A whole block, over REST in binary form: the one that was asked for, with what its header commits to.
    pub fn block(&self, hash: &BlockHash) -> Result<Block, NodeError> {
        let block = decode(&self.rest(&format!("block/{hash}.bin"))?)?;
        check_contents(&block, hash)?;
        Ok(block)
    }

    /// The header with this hash.
    pub fn header(&self, hash: &BlockHash) -> Result<Header, NodeError> {
        let answer = self.call("getblockheader", json!([hash.to_string(), false]))?;
        let bytes =
            hex::decode(answer.as_str().unwrap_or_default()).map_err(|error| NodeError::Answer(error.to_string()))?;
        let header: Header = decode(&bytes)?;
        let found = header.block_hash();
        if found == *hash { Ok(header) } else { Err(BlockFault::Hash { asked: *hash, found }.into()) }
    }

    /// A transaction, if it is in that block.
    pub fn transaction_in(&self, txid: &Txid, block: &BlockHash) -> Result<Transaction, NodeError> {
        let answer = self.call("getrawtransaction", json!([txid.to_string(), false, block.to_string()]))?;
        let bytes =
            hex::decode(answer.as_str().unwrap_or_default()).map_err(|error| NodeError::Answer(error.to_string()))?;
        same(decode(&bytes)?, txid)
    }

    /// A transaction in the mempool, or anywhere if the node indexes all.
    pub fn transaction(&self, txid: &Txid) -> Result<Transaction, NodeError> {
        same(decode(&self.rest(&format!("tx/{txid}.bin"))?)?, txid)
    }

    /// Identifiers of the transactions that wait for a block.
    pub fn mempool(&self) -> Result<Vec<Txid>, NodeError> {
        let list = self.call("getrawmempool", json!([]))?;
        list.as_array().into_iter().flatten().map(|txid| parse(txid.as_str().unwrap_or_default())).collect()
    }

    /// An output that is not spent, the mempool's view included; nothing when it is spent or never was.
    pub fn unspent(&self, outpoint: &OutPoint) -> Result<Option<TxOut>, NodeError> {
        self.output(outpoint, true)
    }

    /// An output of a block that no block spends; nothing when it is spent or never was.
    pub fn unspent_in_blocks(&self, outpoint: &OutPoint) -> Result<Option<TxOut>, NodeError> {
        self.output(outpoint, false)
    }

    fn output(&self, outpoint: &OutPoint, mempool: bool) -> Result<Option<TxOut>, NodeError> {
        let found = self.call("gettxout", json!([outpoint.txid.to_string(), outpoint.vout, mempool]))?;
        if found.is_null() {
            return Ok(None);
        }
        let amount = found.get("value").and_then(Value::as_f64).unwrap_or_default();
        let value = bitcoin::Amount::from_btc(amount).map_err(|error| NodeError::Answer(error.to_string()))?;
        let script = found.get("scriptPubKey").and_then(|script| script.get("hex")).and_then(Value::as_str);
        let bytes = hex::decode(script.unwrap_or_default()).map_err(|error| NodeError::Answer(error.to_string()))?;
        Ok(Some(TxOut { value, script_pubkey: bytes.into() }))
    }

    /// Hands a transaction to the network. One that the node has already, waiting or confirmed, is no error: the step can
    /// be repeated.
    pub fn broadcast(&self, transaction: &Transaction) -> Result<Txid, NodeError> {
        let txid = transaction.compute_txid();
        match self.call("sendrawtransaction", json!([serialize_hex(transaction)])) {
            Ok(_) | Err(NodeError::Refused { code: ALREADY_CONFIRMED, .. }) => Ok(txid),
            Err(error) => Err(error),
        }
    }

    /// The node's estimate for confirmation within `blocks`, in satoshis per 1,000 virtual bytes; nothing when it has too
    /// little to go by.
    pub fn estimate_fee(&self, blocks: u16) -> Result<Option<u64>, NodeError> {
        let estimate = self.call("estimatesmartfee", json!([blocks]))?;
        let Some(rate) = estimate.get("feerate").and_then(Value::as_f64) else { return Ok(None) };
        let rate = bitcoin::Amount::from_btc(rate).map_err(|error| NodeError::Answer(error.to_string()))?;
        Ok(Some(rate.to_sat()))
    }

    /// Returns when a new block came, or after `wait`. A hint only: what counts is what [`crate::next_step`] then finds.
    pub fn wait_for_block(&self, wait: Duration) -> Result<(), NodeError> {
        let milliseconds = u64::try_from(wait.min(PATIENCE / 2).as_millis()).unwrap_or_default();
        self.call("waitfornewblock", json!([milliseconds])).map(|_| ())
    }
}

/// Asks once more at a refused or dropped connection; a node that was silent all the time is not given as long again.
fn twice<T>(ask: impl Fn() -> Result<T, ureq::Error>) -> Result<T, ureq::Error> {
    match ask() {
        Err(error) if !matches!(error, ureq::Error::Timeout(_)) => ask(),
        outcome => outcome,
    }
}

/// The transaction, if it is the one that was asked for: its identifier commits to whom it pays, and how much.
fn same(transaction: Transaction, asked: &Txid) -> Result<Transaction, NodeError> {
    let found = transaction.compute_txid();
    if found == *asked { Ok(transaction) } else { Err(NodeError::Transaction { asked: *asked, found }) }
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str, NodeError> {
    value.get(field).and_then(Value::as_str).ok_or_else(|| NodeError::Answer(format!("no field {field}")))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, NodeError> {
    text.parse().map_err(|error: T::Err| NodeError::Answer(error.to_string()))
}

fn decode<T: bitcoin::consensus::Decodable>(bytes: &[u8]) -> Result<T, NodeError> {
    deserialize(bytes).map_err(|error| NodeError::Answer(error.to_string()))
}
