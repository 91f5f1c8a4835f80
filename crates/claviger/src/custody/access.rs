//! Who comes in: invitations, passkeys, and what roles and restrictions allow.
//!
//! Trusts the charter for who somebody is and what they may do. Nothing here moves a coin: a stolen session can look, freeze
//! and ask, and every approval needs the key that only its person holds.

use std::net::IpAddr;

use policy::{Action, Operator, Role, permitted, verify_registration};
use store::{CredentialRow, EnrolmentRow, Move, Statement};
use types::{Digest, Moment, OperatorId};

use super::Custody;
use crate::problem::Problem;

/// People who must say that a device is lost.
const LOST_QUORUM: usize = 2;

/// From where somebody comes.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The address, as far as we see it.
    pub source: IpAddr,
    /// What the browser or program says of itself.
    pub terminal: String,
}

impl Visitor {
    /// Nobody's address: whoever is bound to a network is refused.
    pub fn unknown() -> Visitor {
        Visitor { source: IpAddr::from([0, 0, 0, 0]), terminal: "unknown".to_owned() }
    }
}

tokio::task_local! {
    /// Who sent the request that this task answers.
    static VISITOR: Visitor;
}

/// Answers a request. Whatever is refused meanwhile is written down with the visitor's source and terminal, however deep below the
/// door it is refused: rules about roles ask for the person alone.
pub async fn answering<T>(visitor: Visitor, work: impl Future<Output = T>) -> T {
    VISITOR.scope(visitor, work).await
}

/// Refusals of strangers that are written down within a minute, one by one.
const STRANGERS_MAX: u32 = 60;

/// How many strangers were turned away in this minute.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    minute: i64,
    written: u32,
    unwritten: u64,
}

impl Strangers {
    /// Whether this one is to be written down, and how many before it were not.
    fn knock(&mut self, now: Moment) -> Option<u64> {
        let minute = now.seconds().div_euclid(60);
        if self.minute != minute {
            (self.minute, self.written) = (minute, 0);
        }
        if self.written >= STRANGERS_MAX {
            self.unwritten = self.unwritten.saturating_add(1);
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.unwritten))
    }
}

/// A link to enrol a passkey.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// For whom.
    pub operator: String,
    /// Where to go; holds a secret.
    pub link: String,
    /// Until when.
    pub expires: Moment,
}

pub(super) fn fresh_secret() -> Result<String, Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|_| Problem::unavailable("randomness", "this machine gives no randomness now"))?;
    Ok(hex::encode(bytes))
}

/// What is stored of a secret. It has 256 random bits, so one hash is enough.
pub(super) fn hash_of(purpose: &str, secret: &str) -> Digest {
    Digest::of(&[b"claviger-secret-v1\n", purpose.as_bytes(), b"\n", secret.as_bytes()])
}

impl Custody {
    /// The operator as the charter has them, with a grant that holds.
    pub fn operator(&self, id: &str, now: Moment) -> Result<&Operator, Problem> {
        let found = self.charter.operators.iter().find(|operator| operator.id.as_str() == id);
        let operator = found.ok_or_else(|| {
            Problem::new(403, "not-in-charter", format!("the charter knows no operator \"{id}\"; the next one can"))
        })?;
        if operator.holds(now) {
            return Ok(operator);
        }
        Err(Problem::new(403, "grant-expired", format!("{id}'s grant has expired; the next charter can renew it")))
    }

    /// Lets an action through, or refuses it by name and writes that down.
    pub async fn allow(&self, operator: &OperatorId, action: Action, now: Moment) -> Result<(), Problem> {
        let known = self.operator(operator.as_str(), now);
        let refused = match known {
            Ok(operator) if permitted(&operator.roles, action) => return Ok(()),
            Ok(operator) => {
                let roles: Vec<_> = operator.roles.iter().map(|role| role.as_str()).collect();
                let detail = format!("\"{}\" is not for {} ({})", action.as_str(), operator.id, roles.join(", "));
                Problem::new(403, "role", detail)
            }
            Err(problem) => problem,
        };
        let visitor = VISITOR.try_with(Clone::clone).unwrap_or_else(|_| Visitor::unknown());
        self.note_refusal(operator.as_str(), action.as_str(), &refused, &visitor, now).await;
        Err(refused)
    }

    /// Writes down that somebody who is known was not let in: who, to what, why, from where, with what.
    pub async fn note_refusal(&self, operator: &str, what: &str, problem: &Problem, visitor: &Visitor, now: Moment) {
        let actor = format!("operator:{operator}");
        let detail = format!("{}; from {}, {}", problem.detail, visitor.source, visitor.terminal);
        // Refused all the same when it cannot be written down.
        let _ = self.store.commit(Move::new(now).audit(&actor, "access.refused", what, detail)).await;
    }

    /// The same for somebody whom nobody knows. Whoever knocks a thousand times fills no disk: beyond a number in each minute
    /// they are counted, and the next entry says how many they were.
    pub async fn note_stranger(&self, what: &str, problem: &Problem, visitor: &Visitor, now: Moment) {
        let Some(unwritten) = self.strangers().knock(now) else { return };
        let more = if unwritten == 0 { String::new() } else { format!("; {unwritten} more were not written down") };
        let detail = format!("{}; from {}, {}{more}", problem.detail, visitor.source, visitor.terminal);
        let _ = self.store.commit(Move::new(now).audit("stranger", "access.refused", what, detail)).await;
    }

    /// Refuses where a role of the person is bound to other hours, networks or devices.
    pub fn check_restrictions(
        &self,
        operator: &Operator,
        source: IpAddr,
        device_bound: Option<bool>,
        now: Moment,
    ) -> Result<(), Problem> {
        let bound = |restriction: &&crate::config::Restriction| {
            operator.roles.iter().any(|role| role.as_str() == restriction.role)
        };
        for restriction in self.config.console.restrictions.iter().filter(bound) {
            let role = &restriction.role;
            let open = restriction
                .hours
                .parse()
                .map_or(restriction.hours.is_empty(), |hours: policy::Hours| hours.contain(now));
            if !open {
                let detail = format!("the role {role} is bound to {} (UTC)", restriction.hours);
                return Err(Problem::new(403, "outside-hours", detail));
            }
            let near = restriction.networks.is_empty()
                || restriction.networks.iter().any(|network| within(network, source).unwrap_or(false));
            if !near {
                let detail =
                    format!("the role {role} is bound to {}; you come from {source}", restriction.networks.join(", "));
                return Err(Problem::new(403, "outside-network", detail));
            }
            if restriction.device_bound && device_bound == Some(false) {
                let detail = format!("the role {role} asks for a passkey that cannot leave its device");
                return Err(Problem::new(403, "device", detail));
            }
        }
        Ok(())
    }

    /// Makes a one-time link for somebody to enrol a passkey.
    pub async fn invite(&self, operator: &str, actor: &OperatorId, now: Moment) -> Result<Invitation, Problem> {
        self.allow(actor, Action::Invite, now).await?;
        let operator: OperatorId =
            operator.parse().map_err(|error: types::IdError| Problem::invalid("operator", error.to_string()))?;
        if self.charter.relying_party.origin.is_empty() {
            let detail = "the charter names no relying party; passkeys need one, in the next charter";
            return Err(Problem::new(409, "no-relying-party", detail));
        }
        let secret = fresh_secret()?;
        let expires = now.plus_seconds(i64::from(self.config.console.invitation_minutes) * 60);
        let row = EnrolmentRow {
            secret: hash_of("enrolment", &secret),
            operator: operator.to_string(),
            invited_by: actor.to_string(),
            created: now,
            expires,
            used: None,
        };
        let step = Move::new(now).run(row.insert()).audit(
            &format!("operator:{actor}"),
            "operator.invited",
            operator.as_str(),
            format!("until {expires}"),
        );
        self.store.commit(step).await?;
        // After the hash sign: browsers do not send it, so it is in nobody's log.
        let link = format!("{}/console/enrol#{secret}", self.charter.relying_party.origin);
        Ok(Invitation { operator: operator.to_string(), link, expires })
    }

    /// The link's row and the challenge that its credential is to be made over.
    pub async fn invitation(
        &self,
        secret: &str,
        visitor: &Visitor,
        now: Moment,
    ) -> Result<(EnrolmentRow, Digest), Problem> {
        let Some(row) = self.store.enrolment(hash_of("enrolment", secret)).await? else {
            let problem = Problem::new(404, "link-unknown", "this link is not one of ours; ask for another");
            self.note_stranger("enrol", &problem, visitor, now).await;
            return Err(problem);
        };
        let problem = if row.used.is_some() {
            Problem::new(410, "link-used", "this link was used before; if not by you, tell an administrator now")
        } else if row.expires <= now {
            Problem::new(410, "link-expired", format!("this link ended at {}; ask for another", row.expires))
        } else {
            return Ok((row, hash_of("enrolment-challenge", secret)));
        };
        self.note_refusal(&row.operator, "enrol", &problem, visitor, now).await;
        Err(problem)
    }

    /// Takes a new passkey, and uses the link up.
    pub async fn enrol(
        &self,
        secret: &str,
        registration: &str,
        visitor: &Visitor,
        now: Moment,
    ) -> Result<CredentialRow, Problem> {
        let (link, challenge) = self.invitation(secret, visitor, now).await?;
        let actor = format!("operator:{}", link.operator);
        let passkey = match verify_registration(registration, &challenge, &self.charter.relying_party) {
            Ok(passkey) => passkey,
            Err(refusal) => {
                let problem = Problem::new(403, "passkey", format!("this passkey was not taken: {refusal}"));
                self.note_refusal(&link.operator, "enrol", &problem, visitor, now).await;
                return Err(problem);
            }
        };
        let row = CredentialRow {
            id: passkey.credential,
            operator: link.operator.clone(),
            public_key: passkey.public_key.to_vec(),
            device_bound: passkey.device_bound,
            created: now,
            revoked: None,
        };
        let detail = format!("invited by {}; from {}, {}", link.invited_by, visitor.source, visitor.terminal);
        let step =
            Move::new(now).run(link.take(now)).run(row.insert()).audit(&actor, "operator.enrolled", &row.id, detail);
        self.store.commit(step).await?;
        Ok(row)
    }

    /// Somebody says that a passkey's device is lost. The owner alone ends it at once; otherwise two others do.
    pub async fn report_lost(&self, credential: &str, actor: &OperatorId, now: Moment) -> Result<bool, Problem> {
        let row = self.store.credential(credential).await?;
        if row.as_ref().is_none_or(|row| row.operator != actor.as_str()) {
            self.allow(actor, Action::RevokeDevice, now).await?;
        }
        let row = row.ok_or_else(|| Problem::not_found("passkey"))?;
        if row.revoked.is_some() {
            return Ok(true);
        }
        let mut others: Vec<_> = self.store.reported_lost(credential).await?;
        others.retain(|other| *other != actor.as_str() && *other != row.operator);
        let ends = row.operator == actor.as_str() || others.len() + 1 >= LOST_QUORUM;
        let name = format!("operator:{actor}");
        let mut step = Move::new(now).run(Statement::report_lost(credential, actor.as_str(), now)).audit(
            &name,
            "passkey.reported-lost",
            credential,
            format!("of {}", row.operator),
        );
        if ends {
            step = step
                .run(Statement::revoke_credential(credential, now))
                .run(Statement::end_sessions_of(credential, now))
                .audit(
                    &name,
                    "passkey.revoked",
                    credential,
                    "its sessions have ended; the next charter should not name it",
                );
        }
        self.store.commit(step).await?;
        Ok(ends)
    }
}

/// Whether an address lies in a network such as `10.1.0.0/16`; none for what is no network.
fn within(network: &str, address: IpAddr) -> Option<bool> {
    let (base, bits) = network.split_once('/').unwrap_or((network, ""));
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32u32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let base: IpAddr = base.parse().ok()?;
    let ((left, width), (right, _)) = (number(base), number(address.to_canonical()));
    let bits = if bits.is_empty() { width } else { bits.parse().ok().filter(|bits| *bits <= width)? };
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    Some(base.is_ipv4() == address.to_canonical().is_ipv4() && left & mask == right & mask)
}

/// Refuses a configuration whose restrictions nobody could read: they would let nobody in, or everybody.
pub fn check_restrictions(restrictions: &[crate::config::Restriction]) -> Result<(), String> {
    for restriction in restrictions {
        if !Role::ALL.iter().any(|role| role.as_str() == restriction.role) {
            return Err(format!("a restriction names the unknown role \"{}\"", restriction.role));
        }
        if !restriction.hours.is_empty() {
            restriction.hours.parse::<policy::Hours>().map_err(|error| error.to_string())?;
        }
        for network in &restriction.networks {
            let own = IpAddr::from([127, 0, 0, 1]);
            within(network, own).ok_or_else(|| format!("\"{network}\" is not a network such as 10.1.0.0/16"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_written_down_up_to_a_number_and_counted_beyond() {
        let mut strangers = Strangers::default();
        let at = Moment::from_seconds;
        for _ in 0..STRANGERS_MAX {
            assert_eq!(strangers.knock(at(600)), Some(0));
        }
        assert_eq!((strangers.knock(at(601)), strangers.knock(at(659))), (None, None));
        assert_eq!((strangers.knock(at(660)), strangers.knock(at(660))), (Some(2), Some(0)));
    }

    #[test]
    fn networks_are_read_bit_by_bit() {
        let lies = |network: &str, address: &str| within(network, address.parse().unwrap_or(IpAddr::from([0; 4])));
        assert_eq!(lies("10.1.0.0/16", "10.1.255.9"), Some(true));
        assert_eq!(lies("10.1.0.0/16", "10.2.0.0"), Some(false));
        assert_eq!(lies("10.1.2.3", "10.1.2.3"), Some(true));
        assert_eq!(lies("0.0.0.0/0", "192.0.2.1"), Some(true));
        assert_eq!(lies("2001:db8::/33", "2001:db8:7fff::1"), Some(true));
        assert_eq!(lies("2001:db8::/33", "2001:db8:8000::1"), Some(false));
        assert_eq!(lies("10.0.0.0/8", "::ffff:10.1.2.3"), Some(true));
        assert_eq!(lies("10.0.0.0/8", "2001:db8::1"), Some(false));
        assert_eq!(lies("10.0.0.0/33", "10.0.0.1"), None);
        assert_eq!(lies("office", "10.0.0.1"), None);
    }
}
