//! What a charter must be before anybody adopts it: names that are used once, keys that their verifiers take, quorums that can be met, and
//! no tier that goes around what it promises. Trusts nothing that the charter says of itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::charter::{Charter, CharterError, Destinations, Operator, PaymentKind, Quorum, RelyingParty, WalletClass};
use crate::keys::{self, KeyFault, Material};
use crate::roles::Role;

impl Charter {
    /// Refuses a charter that contradicts itself or locks everyone out.
    pub fn check(&self) -> Result<(), CharterError> {
        let wrong = |text: String| Err(CharterError::Contradiction(text));
        if (self.version == 1) != self.previous.is_none() || self.version == 0 {
            return wrong("version 1 has no previous digest, and every later version has one".to_owned());
        }
        unique("operator", self.operators.iter().map(|operator| operator.id.as_str()))?;
        unique("customer", self.customers.iter().map(|customer| customer.id.as_str()))?;
        unique("signer", self.signers.iter().map(|signer| signer.id.as_str()))?;
        unique("wallet", self.wallets.iter().map(|wallet| wallet.id.as_str()))?;
        unique("tier", self.tiers.iter().map(|tier| tier.name.as_str()))?;
        if self.signers.iter().any(|signer| signer.id.as_str() == types::EVERY_SIGNER) {
            return wrong(format!("no signer is named \"{}\": that means every one", types::EVERY_SIGNER));
        }
        // Whoever keeps two signers' machines could bring their keys together.
        unique("custodian", self.signers.iter().flat_map(|signer| &signer.custodians))?;
        if self.key_quorum.people < 2 {
            return wrong("steps of a key's life need two people or more".to_owned());
        }
        if self.activation.seconds_max == 0 || self.activation.signatures_max == 0 {
            return wrong("no key could ever be activated".to_owned());
        }
        self.check_keys()?;
        let passkeys = || self.operators.iter().flat_map(|operator| &operator.passkeys);
        if self.own_reading == 0 && passkeys().next().is_some() {
            return wrong(
                "with passkeys among the keys, own_reading is 1 or more: pages alone must not decide about charters and keys".to_owned(),
            );
        }
        unique("passkey", passkeys().map(|passkey| passkey.credential.as_str()))?;
        if passkeys().next().is_some() && !self.relying_party.is_pinned() {
            return wrong(
                "passkeys need a relying party: a domain, and one origin of it without a slash at its end".to_owned(),
            );
        }
        for operator in &self.operators {
            operator.check()?;
        }
        self.check_organisations()?;
        for (name, quorum) in self.quorums() {
            self.reachable(name, quorum, false)?;
        }
        let reading = self.operators.iter().filter(|operator| operator.is(Role::Approver) && !operator.keys.is_empty());
        if u32::try_from(reading.count()).unwrap_or(u32::MAX) < self.own_reading {
            return wrong(format!("own_reading is {}, and fewer approvers have an SSH key", self.own_reading));
        }
        self.check_lasting()?;
        for tier in self.tiers.iter().filter(|tier| tier.device_bound) {
            if tier.quorum.people == 0 {
                return wrong(format!(
                    "tier \"{}\" asks for keys that cannot leave their device, of nobody",
                    tier.name
                ));
            }
            self.reachable(&tier.name, tier.quorum, true)?;
        }
        for (name, quorum) in [("charter", self.charter_quorum), ("release", self.release_quorum)] {
            if quorum.people == 0 {
                return wrong(format!("the {name} quorum asks for nobody"));
            }
        }
        for tier in &self.tiers {
            if tier.hours.is_some_and(|hours| {
                hours.from_minute >= hours.to_minute || hours.to_minute > 1_440 || hours.days == [false; 7]
            }) {
                return wrong(format!("tier \"{}\" has hours that never come", tier.name));
            }
            let Some(wallet) = self.wallet(&tier.wallet) else {
                return wrong(format!("tier \"{}\" names the unknown wallet \"{}\"", tier.name, tier.wallet));
            };
            if wallet.class == WalletClass::Cold
                && (tier.quorum.people == 0 || tier.destinations != Destinations::OwnWallets)
            {
                return wrong(format!("tier \"{}\" lets a cold wallet pay automatically or to the outside", tier.name));
            }
            if tier.kind == PaymentKind::OperatorTransfer && tier.destinations != Destinations::OwnWallets {
                return wrong(format!("tier \"{}\" lets an operator's transfer leave our own wallets", tier.name));
            }
            if tier.quorum.people == 0 && tier.windows.is_empty() {
                return wrong(format!("the automatic tier \"{}\" has no rolling limit", tier.name));
            }
        }
        for total in &self.totals {
            if self.wallet(&total.wallet).is_none() {
                return wrong(format!("a total names the unknown wallet \"{}\"", total.wallet));
            }
        }
        for allowed in &self.allow_list {
            if self.customer(&allowed.customer).is_none() {
                return wrong(format!("the allow-list names the unknown customer \"{}\"", allowed.customer));
            }
        }
        if self.wallets.iter().any(|wallet| wallet.asset.network() != self.network) {
            return wrong("a wallet's asset lives on another network".to_owned());
        }
        Ok(())
    }

    /// Every key is one that its verifier takes, and stands in one place.
    fn check_keys(&self) -> Result<(), CharterError> {
        // One key in the hands of two names would let one person count twice.
        let mut seen = BTreeMap::new();
        for operator in &self.operators {
            for (number, key) in (1..).zip(&operator.keys) {
                take(&mut seen, format!("SSH key {number} of operator {}", operator.id), keys::ssh(key))?;
            }
            for passkey in &operator.passkeys {
                let whose = format!("passkey {} of operator {}", passkey.credential, operator.id);
                take(&mut seen, whose, keys::passkey(&passkey.public_key))?;
            }
        }
        let mut seen = BTreeMap::new();
        for customer in &self.customers {
            for (number, key) in (1..).zip(&customer.keys) {
                take(&mut seen, format!("key {number} of customer {}", customer.id), keys::ed25519(key))?;
            }
        }
        let mut seen = BTreeMap::new();
        for signer in &self.signers {
            take(&mut seen, format!("the journal key of signer {}", signer.id), keys::ed25519(&signer.journal_key))?;
        }
        Ok(())
    }

    /// Grants that have ended decide nothing, not even about their renewal: so the next charter must never wait for one of them.
    fn check_lasting(&self) -> Result<(), CharterError> {
        let Quorum { people, organisations } = self.charter_quorum;
        let own_reading = self.own_reading.min(people);
        let can =
            |operator: &&Operator| operator.is(Role::Approver) && operator.can_sign() && operator.expires.is_none();
        let lasting: Vec<_> = self.operators.iter().filter(can).collect();
        let names: BTreeSet<_> = lasting.iter().map(|operator| operator.organisation.as_str()).collect();
        let reading = lasting.iter().filter(|operator| !operator.keys.is_empty()).count();
        let enough = |there: usize, wanted: u32| u32::try_from(there).unwrap_or(u32::MAX) >= wanted;
        if enough(lasting.len(), people) && enough(names.len(), organisations) && enough(reading, own_reading) {
            return Ok(());
        }
        Err(CharterError::LockedOut {
            people,
            organisations,
            own_reading,
            lasting: lasting.len(),
            lasting_organisations: names.len(),
            reading,
        })
    }

    /// One organisation under two spellings would count twice.
    fn check_organisations(&self) -> Result<(), CharterError> {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for operator in &self.operators {
            let name = operator.organisation.as_str();
            let first = *seen.entry(name.to_lowercase()).or_insert(name);
            if first != name {
                return Err(CharterError::Contradiction(format!(
                    "the organisations \"{first}\" and \"{name}\" (of operator {}) differ only by capitals: spell one \
                     organisation in one way, or give two of them names that people can tell apart",
                    operator.id
                )));
            }
        }
        Ok(())
    }

    fn quorums(&self) -> impl Iterator<Item = (&str, Quorum)> {
        [("charter", self.charter_quorum), ("release", self.release_quorum), ("key", self.key_quorum)]
            .into_iter()
            .chain(self.tiers.iter().map(|tier| (tier.name.as_str(), tier.quorum)))
    }

    fn reachable(&self, name: &str, quorum: Quorum, device_bound: bool) -> Result<(), CharterError> {
        let can = |operator: &&Operator| {
            operator.is(Role::Approver) && if device_bound { operator.has_bound_key() } else { operator.can_sign() }
        };
        let approvers: Vec<_> = self.operators.iter().filter(can).collect();
        let organisations: BTreeSet<_> = approvers.iter().map(|operator| operator.organisation.as_str()).collect();
        let people_enough = u32::try_from(approvers.len()).unwrap_or(u32::MAX) >= quorum.people;
        let organisations_enough = u32::try_from(organisations.len()).unwrap_or(u32::MAX) >= quorum.organisations;
        if people_enough && organisations_enough && quorum.organisations <= quorum.people {
            return Ok(());
        }
        Err(CharterError::Contradiction(format!(
            "the quorum \"{name}\" ({} people, {} organisations) can never be met by {} approvers{} of {} organisations",
            quorum.people,
            quorum.organisations,
            approvers.len(),
            if device_bound { " with a key that cannot leave its device" } else { "" },
            organisations.len()
        )))
    }
}

impl Operator {
    /// Duties are apart: whoever lets people in neither asks for coins to move nor approves it.
    fn check(&self) -> Result<(), CharterError> {
        let wrong = |text: &str| Err(CharterError::Contradiction(format!("operator {}: {text}", self.id)));
        if self.roles.is_empty() || self.roles.windows(2).any(|pair| matches!(pair, [a, b] if a >= b)) {
            return wrong("roles stand there once each, in the order approver, requester, administrator, auditor");
        }
        if self.is(Role::Administrator) && (self.is(Role::Approver) || self.is(Role::Requester)) {
            return wrong("an administrator neither requests nor approves");
        }
        let plain = self.organisation.split_whitespace().collect::<Vec<_>>().join(" ");
        if plain.is_empty() || plain != self.organisation || plain.chars().any(is_unseen) {
            return wrong(
                "the organisation needs a name, of letters that are seen, with single spaces between words and none around",
            );
        }
        Ok(())
    }
}

impl RelyingParty {
    /// Whether domain and origin are there and belong together.
    fn is_pinned(&self) -> bool {
        let host = self.origin.split_once("://").filter(|(scheme, _)| {
            // Browsers treat localhost as safe without TLS, for development.
            *scheme == "https" || (*scheme == "http" && self.id == "localhost")
        });
        let host = host.map(|(_, rest)| rest.split_once(':').map_or(rest, |(host, _)| host));
        let below = |host: &str| host == self.id || host.ends_with(&format!(".{}", self.id));
        !self.id.is_empty()
            && host.is_some_and(|host| !host.contains('/') && below(host))
            && !self.origin.ends_with('/')
    }
}

/// Whether people would not see a letter: names that look alike must be alike.
fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Takes a key into those that were seen, unless it is one of them.
fn take(
    seen: &mut BTreeMap<Material, String>,
    whose: String,
    key: Result<Material, KeyFault>,
) -> Result<(), CharterError> {
    let material = key.map_err(|fault| CharterError::Key { whose: whose.clone(), fault })?;
    match seen.get(&material) {
        Some(first) => Err(CharterError::SharedKey { first: first.clone(), second: whose }),
        None => {
            seen.insert(material, whose);
            Ok(())
        }
    }
}

fn unique<T: Ord>(what: &str, names: impl Iterator<Item = T>) -> Result<(), CharterError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(CharterError::Contradiction(format!("a {what} stands there twice")));
        }
    }
    Ok(())
}
