//! The configuration file of the online system. It holds no secret: keys and cookies stay in files of their own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use orders::Confirmations;
use serde::{Deserialize, Serialize};
use types::{Amount, Network};

use crate::Outcome;

/// `claviger.json`. Relative paths are meant from the file's directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `sqlite:PATH` or `postgres://…`.
    pub database: String,
    /// The charter that signers hold, in its canonical bytes.
    pub charter: PathBuf,
    /// The node.
    pub node: NodeConfig,
    /// Further nodes, of other people on other machines: a deposit is credited when all of them have its block too.
    pub witness_nodes: Vec<NodeConfig>,
    /// Outside regtest, [`ONE_NODE_ACCEPTED`] where there are none: what that buys an attacker has to be said to be accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness_nodes_none: Option<String>,
    /// The signers.
    pub signers: Vec<SignerConfig>,
    /// Our certificate for signers (PEM).
    pub client_certificate: PathBuf,
    /// Its private key (PEM).
    pub client_key: PathBuf,
    /// Where customers' requests are answered.
    pub customer_listen: SocketAddr,
    /// Where operators' requests are answered.
    pub operator_listen: SocketAddr,
    /// Public keys that sign operators' requests. They show, and approve nothing.
    pub operators: Vec<OperatorKey>,
    /// Who may sign in to the console, when and from where.
    #[serde(default)]
    pub console: ConsoleConfig,
    /// Whom to tell of events.
    #[serde(default)]
    pub webhooks: Vec<WebhookConfig>,
    /// Key file that signs what webhooks are told; `claviger key new` makes one.
    #[serde(default)]
    pub webhook_key: Option<PathBuf>,
    /// How deposits are treated.
    pub deposits: DepositConfig,
    /// How withdrawals are treated.
    pub withdrawals: WithdrawalConfig,
}

/// What a configuration says that names no further nodes.
pub const ONE_NODE_ACCEPTED: &str =
    "I accept that whoever owns our only node can have coins credited that others do not see";
/// What that buys an attacker.
pub const ONE_NODE_BUYS: &str = "no further node is asked: whoever owns our only node, or what it hears, has whatever credited that mining at \
    the chain's own difficulty can invent or replace, and real coins paid out for it within the tiers; configure witness_nodes";

/// The console's doors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleConfig {
    /// How long a session lasts at most, in minutes.
    pub session_minutes: u32,
    /// After how many minutes without use it ends.
    pub idle_minutes: u32,
    /// How long a link to enrol a passkey can be used, in minutes.
    pub invitation_minutes: u32,
    /// Whether a proxy in front names the caller's address, as the last of `X-Forwarded-For`.
    pub behind_proxy: bool,
    /// What roles are bound to.
    pub restrictions: Vec<Restriction>,
}

impl Default for ConsoleConfig {
    fn default() -> ConsoleConfig {
        ConsoleConfig {
            session_minutes: 480,
            idle_minutes: 30,
            invitation_minutes: 60,
            behind_proxy: false,
            restrictions: vec![],
        }
    }
}

/// What a role is bound to. Somebody with several roles is bound to all that any of them is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restriction {
    /// The role.
    pub role: String,
    /// Hours in UTC in the charter's spelling, such as `mon-tue-wed-thu-fri 08:00-18:00`; empty for always.
    #[serde(default)]
    pub hours: String,
    /// Networks, such as `10.1.0.0/16`; empty for any.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Whether only passkeys that cannot leave their device open a session.
    #[serde(default)]
    pub device_bound: bool,
}

/// Somebody who is told of events.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// `https://HOST/PATH`.
    pub url: String,
    /// Whether the address may lie in a private network, and be plain HTTP: only for receivers of your own.
    #[serde(default)]
    pub private: bool,
}

/// A key of an operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorKey {
    /// Whose.
    pub operator: String,
    /// Ed25519 public key, hexadecimal.
    pub key: String,
}

/// One bitcoind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// `http://HOST:PORT`.
    pub url: String,
    /// Its cookie file.
    pub cookie: PathBuf,
}

/// One signer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerConfig {
    /// Its name in the charter.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate (PEM).
    pub certificate: PathBuf,
}

/// How deposits are treated.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepositConfig {
    /// Confirmations by amount, smallest bound first.
    pub confirmations: Vec<ConfirmationRule>,
    /// Least amount that is credited, in satoshis.
    pub sats_min: u64,
    /// Deepest reorganization that is followed, in blocks.
    pub reorganization_max: u32,
}

/// Confirmations for amounts up to a bound.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmationRule {
    /// In satoshis; the last rule's bound does not matter.
    pub sats_max: u64,
    /// Blocks, its own included.
    pub confirmations: u32,
}

/// How withdrawals are treated.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalConfig {
    /// The hot wallet that pays customers.
    pub wallet: String,
    /// Most network fee that one payment may bear, in satoshis.
    pub fee_sats_max: u64,
    /// How long an instruction lives, in seconds.
    pub lifetime_seconds: u64,
    /// Confirmation within so many blocks is aimed at.
    pub target_blocks: u16,
    /// Fee rate when the node has no estimate, in satoshis per 1,000 virtual bytes.
    pub fallback_rate: u64,
    /// Blocks through which a transaction waits before it pays more.
    pub bump_after_blocks: u32,
    /// Blocks, its own included, after which a payment is final in the books.
    pub settle_confirmations: u32,
    /// Most payments in one transaction.
    pub batch_max: usize,
}

impl Config {
    /// Reads the file; paths in it become absolute.
    pub fn read(path: &Path) -> Outcome<Config> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut config: Config = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let directory = path.parent().unwrap_or(Path::new(".")).to_owned();
        let absolute = |path: &mut PathBuf| *path = directory.join(&*path);
        absolute(&mut config.charter);
        absolute(&mut config.node.cookie);
        config.witness_nodes.iter_mut().for_each(|node| absolute(&mut node.cookie));
        absolute(&mut config.client_certificate);
        absolute(&mut config.client_key);
        config.webhook_key.iter_mut().for_each(absolute);
        config.signers.iter_mut().for_each(|signer| absolute(&mut signer.certificate));
        if let Some(file) = config.database.strip_prefix("sqlite:") {
            config.database = format!("sqlite:{}", directory.join(file).display());
        }
        Ok(config)
    }

    /// Whether one node alone is believed about coins that are worth something.
    pub fn believes_one_node(&self, network: Network) -> bool {
        self.witness_nodes.is_empty() && network != Network::Regtest
    }

    /// Refuses to believe one node alone, unless the configuration says in so many words that this is accepted.
    ///
    /// # Errors
    /// `witness-nodes-missing`, and `witness-nodes-none` where the words are others, or say so of nodes that are there.
    pub fn check_nodes(&self, network: Network) -> Outcome {
        let accepts = format!("\"witness_nodes_none\": \"{ONE_NODE_ACCEPTED}\"");
        match &self.witness_nodes_none {
            None if self.believes_one_node(network) => Err(format!(
                "witness-nodes-missing: {network} needs further nodes, run by others elsewhere, in witness_nodes; to do without them, say {accepts}"
            )),
            Some(_) if !self.witness_nodes.is_empty() => {
                Err("witness-nodes-none: witness_nodes names further nodes; take witness_nodes_none out".to_owned())
            }
            Some(words) if words != ONE_NODE_ACCEPTED => {
                Err(format!("witness-nodes-none: to do without further nodes, say {accepts}"))
            }
            _ => Ok(()),
        }
    }

    /// Confirmations as the rules take them.
    pub fn confirmations(&self) -> Confirmations {
        let rule = |rule: &ConfirmationRule| (Amount::from_sats(rule.sats_max), rule.confirmations);
        Confirmations(self.deposits.confirmations.iter().map(rule).collect())
    }
}
