use types::{Amount, Asset, Body, CustomerId, Digest, Moment, Network, OperatorId, SignerId, WalletId};

use crate::approvals::Counted;
use crate::json;
use crate::keys::KeyFault;
use crate::roles::Role;

/// The constitution that every signer holds: who decides, over which wallets, up to which limits.
///
/// A document of its own, in one canonical spelling (JSON without spaces, keys sorted, every scalar a string), so that
/// its digest can be signed and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    /// 1 for the first, then one more for each successor.
    pub version: u64,
    /// Digest of the version before; none for the first.
    pub previous: Option<Digest>,
    /// The chain's network, for every wallet.
    pub network: Network,
    /// The people who decide.
    pub operators: Vec<Operator>,
    /// Where their passkeys are used.
    pub relying_party: RelyingParty,
    /// The customers whose own keys sign their requests.
    pub customers: Vec<Customer>,
    /// The signers, all of whom hold a key of every wallet.
    pub signers: Vec<SignerIdentity>,
    /// The wallets.
    pub wallets: Vec<Wallet>,
    /// The tiers, weakest first.
    pub tiers: Vec<Tier>,
    /// Limits over all tiers of a wallet together.
    pub totals: Vec<WalletWindow>,
    /// Destinations that tiers with an allow-list accept.
    pub allow_list: Vec<AllowedAddress>,
    /// How long after a quorum's entry a destination waits in the address book before it may be paid, in seconds.
    pub address_book_seconds: u64,
    /// Caps on a transaction's fee.
    pub fee: FeeCaps,
    /// Who must sign the next charter.
    pub charter_quorum: Quorum,
    /// Who must agree to open a latch or release an anchor.
    pub release_quorum: Quorum,
    /// Who must agree to a step of a key's life.
    pub key_quorum: Quorum,
    /// Of those who decide about charters, latches, anchors, destinations and keys, how many must sign with an SSH key, made on a machine of
    /// their own: a page that lies can have passkeys sign what nobody wanted, also when it only asks people to sign in.
    pub own_reading: u32,
    /// The most that one activation of a signature key may allow.
    pub activation: ActivationCaps,
    /// The largest step forward of a signer's clock between two records of its journal, in seconds.
    pub clock_step_seconds_max: u64,
    /// The longest that an instruction may live, in seconds.
    pub instruction_seconds_max: u64,
}

/// A person who decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Identifier.
    pub id: OperatorId,
    /// Name for people.
    pub name: String,
    /// Organisation; quorums can ask for several.
    pub organisation: String,
    /// What the person may do. Approvals count of approvers only.
    pub roles: Vec<Role>,
    /// From when on none of it holds any more; none for a grant without an end.
    pub expires: Option<Moment>,
    /// When people mean to look at this grant again; none when nobody has said so.
    pub review: Option<Moment>,
    /// Public keys in OpenSSH's one-line form.
    pub keys: Vec<String>,
    /// Passkeys.
    pub passkeys: Vec<Passkey>,
}

/// A passkey: an ES256 credential (Web Authentication Level 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Identifier of the credential, base64url without padding.
    pub credential: String,
    /// Public key: a compressed point of P-256 (SEC 1, 33 bytes).
    pub public_key: [u8; 33],
    /// Whether approvals are refused once the authenticator says that the key may leave the device.
    pub device_bound: bool,
}

/// Where passkeys are used: they answer to no other site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelyingParty {
    /// Its identifier, a domain such as `custody.example`; empty when there are no passkeys.
    pub id: String,
    /// The one origin, such as `https://custody.example`, without a slash at its end.
    pub origin: String,
}

/// A customer with own keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// Identifier.
    pub id: CustomerId,
    /// Ed25519 public keys (RFC 8032) that sign requests.
    pub keys: Vec<[u8; 32]>,
}

/// A signer, as its peers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerIdentity {
    /// Identifier.
    pub id: SignerId,
    /// Ed25519 public key that signs heads of its journal and its attestations.
    pub journal_key: [u8; 32],
    /// Whether it has no network: such signers, and no others, hold the keys of cold wallets.
    pub offline: bool,
    /// Who administers its machine, and so holds its sealed keys: none of them may hold what opens these.
    pub custodians: Vec<OperatorId>,
    /// The device that must hold its keys, as `manufacturer/model/firmware`; empty when none must.
    pub device: String,
}

impl SignerIdentity {
    /// A signer that is connected, with nothing said about its custodians and device.
    pub const fn online(id: SignerId, journal_key: [u8; 32]) -> SignerIdentity {
        SignerIdentity { id, journal_key, offline: false, custodians: Vec::new(), device: String::new() }
    }
}

/// Bounds of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivationCaps {
    /// Length in seconds.
    pub seconds_max: u64,
    /// Signatures, one for each input.
    pub signatures_max: u64,
}

/// Whether a wallet serves withdrawals or stays away from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalletClass {
    /// Pays customers.
    Hot,
    /// Pays nobody but our own wallets.
    Cold,
}

/// One descriptor in one tier of protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// Identifier.
    pub id: WalletId,
    /// The asset that it holds.
    pub asset: Asset,
    /// Hot or cold.
    pub class: WalletClass,
    /// Multipath output descriptor (BIP-380, BIP-389).
    pub descriptor: String,
    /// How far beyond the highest change index seen a change output may be.
    pub gap_limit: u32,
}

/// The kinds of payment that tiers rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentKind {
    /// A customer's coins leave.
    CustomerWithdrawal,
    /// Coins move between our wallets.
    OperatorTransfer,
}

/// Which destinations a tier accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destinations {
    /// Any address of the network.
    Any,
    /// Addresses of the allow-list for that customer.
    AllowList,
    /// Addresses of our own wallets.
    OwnWallets,
}

/// A way to get a payment signed: small and automatic, or larger and with people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Name, used once.
    pub name: String,
    /// The wallet that pays.
    pub wallet: WalletId,
    /// The kind of payment.
    pub kind: PaymentKind,
    /// The most in one instruction, in base units.
    pub amount_max: Amount,
    /// The most within rolling windows, payout and fee together.
    pub windows: Vec<Window>,
    /// Who must approve; nobody for an automatic tier.
    pub quorum: Quorum,
    /// Which destinations.
    pub destinations: Destinations,
    /// Whether the customer's own signature is required.
    pub customer_signature: bool,
    /// Whether only approvals count whose key cannot leave its device.
    pub device_bound: bool,
    /// How long each signer waits after it first saw everything that is needed, in seconds: time to freeze.
    pub delay_seconds: u64,
    /// When signers sign in this tier; none for always.
    pub hours: Option<Hours>,
}

/// Hours of the week, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Days, Monday first.
    pub days: [bool; 7],
    /// First minute of the day.
    pub from_minute: u16,
    /// The minute after the last, at most 1,440.
    pub to_minute: u16,
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&json::write_hours(self))
    }
}

impl std::str::FromStr for Hours {
    type Err = CharterError;

    /// Reads the charter's spelling, such as `mon-tue-fri 08:00-17:30`.
    fn from_str(text: &str) -> Result<Hours, CharterError> {
        json::read_hours(text)?.ok_or_else(|| CharterError::Form("hours are missing".to_owned()))
    }
}

impl Hours {
    /// Whether a moment lies within.
    pub fn contain(&self, at: Moment) -> bool {
        // 1970 began on a Thursday.
        let day = at.seconds().div_euclid(86_400).saturating_add(3).rem_euclid(7);
        let minute = at.seconds().rem_euclid(86_400) / 60;
        let open = usize::try_from(day).ok().and_then(|day| self.days.get(day)).copied().unwrap_or(false);
        open && minute >= i64::from(self.from_minute) && minute < i64::from(self.to_minute)
    }
}

/// A rolling limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Length in seconds.
    pub seconds: u64,
    /// The most within that length, in base units.
    pub amount_max: Amount,
}

/// A rolling limit over a whole wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletWindow {
    /// The wallet.
    pub wallet: WalletId,
    /// Its limit over all tiers.
    pub window: Window,
}

/// How many distinct people from how many distinct organisations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// People, requester not counted.
    pub people: u32,
    /// Organisations among them.
    pub organisations: u32,
}

/// A destination that a customer has long agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedAddress {
    /// Whose.
    pub customer: CustomerId,
    /// The address in the chain's notation.
    pub address: String,
}

/// Caps on what a transaction may burn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeCaps {
    /// In satoshis for one transaction.
    pub sats_max: u64,
    /// In satoshis per 1,000 virtual bytes.
    pub sats_per_kvb_max: u64,
}

/// Why bytes are not a charter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CharterError {
    /// Not JSON of the expected shape.
    #[error("the charter cannot be read: {0}")]
    Form(String),
    /// Another spelling than the canonical one.
    #[error("the charter is not in its canonical spelling (no spaces, keys sorted, scalars as strings)")]
    NotCanonical,
    /// A name is used twice or unknown, or a rule can never be met.
    #[error("the charter contradicts itself: {0}")]
    Contradiction(String),
    /// Once grants with an end have ended, nobody could sign the next charter.
    #[error(
        "the charter locks everybody out in time: its quorum asks for {people} people of {organisations} organisations, \
         {own_reading} of them with an SSH key, and among approvers whose grants have no end are {lasting} of \
         {lasting_organisations}, {reading} with an SSH key; leave \"expires\" empty for enough approvers (\"review\" says \
         when to look at them again), or ask for fewer"
    )]
    LockedOut {
        /// People that the charter's quorum asks for.
        people: u32,
        /// Organisations that it asks for.
        organisations: u32,
        /// Of its people, how many must sign with an SSH key.
        own_reading: u32,
        /// Approvers whose grants have no end.
        lasting: usize,
        /// Their organisations.
        lasting_organisations: usize,
        /// Of these approvers, how many have an SSH key.
        reading: usize,
    },
    /// A key that its verifier would never take, or under which others could sign.
    #[error("{whose} cannot be used: {fault}")]
    Key {
        /// Which key, and whose.
        whose: String,
        /// What is wrong with it, and what to do.
        fault: KeyFault,
    },
    /// One key in two places: whoever holds it would count twice.
    #[error("{first} and {second} are one key, however it is spelled: each needs a key of its own")]
    SharedKey {
        /// Where it stands first.
        first: String,
        /// Where it stands again.
        second: String,
    },
}

impl Charter {
    /// Reads a charter from its canonical bytes and checks it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Charter, CharterError> {
        let charter = json::read_charter(bytes)?;
        if charter.to_bytes() != bytes {
            return Err(CharterError::NotCanonical);
        }
        charter.check()?;
        Ok(charter)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::write_charter(self)
    }

    /// `SHA-256("claviger-charter-v1\n" || canonical bytes)`.
    pub fn digest(&self) -> Digest {
        Digest::of(&[b"claviger-charter-v1\n", &self.to_bytes()])
    }

    /// The operator of that name.
    pub fn operator(&self, id: &OperatorId) -> Option<&Operator> {
        self.operators.iter().find(|operator| operator.id == *id)
    }

    /// The customer of that name.
    pub fn customer(&self, id: &CustomerId) -> Option<&Customer> {
        self.customers.iter().find(|customer| customer.id == *id)
    }

    /// The wallet of that name.
    pub fn wallet(&self, id: &WalletId) -> Option<&Wallet> {
        self.wallets.iter().find(|wallet| wallet.id == *id)
    }

    /// Who must agree to an instruction that moves no coins: nobody's coins move by it, but later ones may.
    pub const fn quorum_for(&self, body: &Body) -> Quorum {
        match body {
            Body::KeyStep(_) => self.key_quorum,
            _ => self.release_quorum,
        }
    }

    /// Whether a count is enough for a decision that changes what signers do: people, organisations, and those who read for themselves.
    pub fn is_enough(&self, counted: &Counted, quorum: Quorum) -> bool {
        let apart = u32::try_from(counted.apart.len()).unwrap_or(u32::MAX);
        counted.meets(quorum) && apart >= self.own_reading.min(quorum.people)
    }

    /// The signer of that name.
    pub fn signer(&self, id: &SignerId) -> Option<&SignerIdentity> {
        self.signers.iter().find(|signer| signer.id == *id)
    }
}

impl Operator {
    /// Whether the person has this role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether the grant holds at a moment.
    pub fn holds(&self, now: Moment) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether the person has anything to approve with.
    pub(crate) const fn can_sign(&self) -> bool {
        !self.keys.is_empty() || !self.passkeys.is_empty()
    }

    /// Whether the charter names a key of this person that cannot leave its device: such a passkey, or a security key of SSH.
    pub fn has_bound_key(&self) -> bool {
        self.passkeys.iter().any(|passkey| passkey.device_bound) || self.keys.iter().any(|key| key.starts_with("sk-"))
    }
}
