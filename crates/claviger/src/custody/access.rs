//! Who comes in: invitations, passkeys, sessions, and what roles and restrictions allow.
//!
//! Trusts the charter for who somebody is and what they may do. Nothing here moves a coin: a stolen session can look, freeze
//! and ask, and every approval needs the key that only its person holds.

use std::net::IpAddr;

use policy::{Action, Operator, Passkey, Role, permitted, verify_passkey, verify_registration};
use store::{CredentialRow, EnrolmentRow, Move, SessionRow, Statement};
use types::{Digest, Moment, OperatorId};

use super::Custody;
use crate::problem::Problem;

/// How long a challenge can be answered, in seconds.
const CHALLENGE_SECONDS: i64 = 300;
/// Most challenges that wait for an answer; nobody gets another one beyond that, until some have ended.
const CHALLENGES_MAX: usize = 10_000;
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

fn fresh_secret() -> Result<String, Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|_| Problem::unavailable("randomness", "this machine gives no randomness now"))?;
    Ok(hex::encode(bytes))
}

/// What is stored of a secret. It has 256 random bits, so one hash is enough.
fn hash_of(purpose: &str, secret: &str) -> Digest {
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
        self.note_refusal(operator.as_str(), action.as_str(), &refused, now).await;
        Err(refused)
    }

    async fn note_refusal(&self, operator: &str, what: &str, problem: &Problem, now: Moment) {
        let actor = format!("operator:{operator}");
        // Refused all the same when it cannot be written down.
        let _ = self.store.commit(Move::new(now).audit(&actor, "access.refused", what, &*problem.detail)).await;
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
    pub async fn invitation(&self, secret: &str, now: Moment) -> Result<(EnrolmentRow, Digest), Problem> {
        let row = self.store.enrolment(hash_of("enrolment", secret)).await?;
        let row =
            row.ok_or_else(|| Problem::new(404, "link-unknown", "this link is not one of ours; ask for another"))?;
        if row.used.is_some() {
            return Err(Problem::new(
                410,
                "link-used",
                "this link was used before; if not by you, tell an administrator now",
            ));
        }
        if row.expires <= now {
            return Err(Problem::new(
                410,
                "link-expired",
                format!("this link ended at {}; ask for another", row.expires),
            ));
        }
        Ok((row, hash_of("enrolment-challenge", secret)))
    }

    /// Takes a new passkey, and uses the link up.
    pub async fn enrol(
        &self,
        secret: &str,
        registration: &str,
        visitor: &Visitor,
        now: Moment,
    ) -> Result<CredentialRow, Problem> {
        let (link, challenge) = self.invitation(secret, now).await?;
        let actor = format!("operator:{}", link.operator);
        let passkey = match verify_registration(registration, &challenge, &self.charter.relying_party) {
            Ok(passkey) => passkey,
            Err(refusal) => {
                let problem = Problem::new(403, "passkey", format!("this passkey was not taken: {refusal}"));
                self.note_refusal(&link.operator, "enrol", &problem, now).await;
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

    /// A challenge for signing in: used once, soon.
    pub fn challenge(&self, now: Moment) -> Result<Digest, Problem> {
        let challenge = hash_of("sign-in", &fresh_secret()?);
        let mut challenges = self.challenges();
        challenges.retain(|_, until| *until > now);
        if challenges.len() >= CHALLENGES_MAX {
            return Err(Problem::unavailable("busy", "too many people are signing in; try again in a minute"));
        }
        challenges.insert(challenge, now.plus_seconds(CHALLENGE_SECONDS));
        Ok(challenge)
    }

    /// Opens a session; returns its secret.
    pub async fn sign_in(
        &self,
        challenge: &Digest,
        credential: &str,
        assertion: &str,
        visitor: &Visitor,
        now: Moment,
    ) -> Result<String, Problem> {
        let fresh = self.challenges().remove(challenge).is_some_and(|until| until > now);
        if !fresh {
            return Err(Problem::new(403, "challenge", "this sign-in took too long or was tried before; begin again"));
        }
        let row = self.store.credential(credential).await?;
        let row = row.ok_or_else(|| Problem::new(403, "passkey-unknown", "this passkey is not enrolled here"))?;
        match self.check_sign_in(&row, challenge, assertion, visitor, now) {
            Ok(()) => {}
            Err(problem) => {
                self.note_refusal(&row.operator, "sign-in", &problem, now).await;
                return Err(problem);
            }
        }
        let secret = fresh_secret()?;
        let session = SessionRow {
            secret: hash_of("session", &secret),
            operator: row.operator.clone(),
            credential: row.id.clone(),
            terminal: visitor.terminal.clone(),
            source: visitor.source.to_string(),
            created: now,
            seen: now,
            expires: now.plus_seconds(i64::from(self.config.console.session_minutes) * 60),
            ended: None,
        };
        let detail = format!("from {}, {}", visitor.source, visitor.terminal);
        let actor = format!("operator:{}", row.operator);
        self.store
            .commit(Move::new(now).run(session.insert()).audit(&actor, "operator.signed-in", &row.id, detail))
            .await?;
        Ok(secret)
    }

    fn check_sign_in(
        &self,
        row: &CredentialRow,
        challenge: &Digest,
        assertion: &str,
        visitor: &Visitor,
        now: Moment,
    ) -> Result<(), Problem> {
        if row.revoked.is_some() {
            return Err(Problem::new(403, "passkey-revoked", "this passkey was revoked; ask for a new link"));
        }
        let public_key = <[u8; 33]>::try_from(row.public_key.as_slice());
        let public_key = public_key.map_err(|_| Problem::new(500, "storage", "the stored key has no form"))?;
        let passkey = Passkey { credential: row.id.clone(), public_key, device_bound: row.device_bound };
        verify_passkey(assertion, challenge, &self.charter.relying_party, &[passkey])
            .map_err(|refusal| Problem::new(403, "passkey", format!("signing in failed: {refusal}")))?;
        let operator = self.operator(&row.operator, now)?;
        self.check_restrictions(operator, visitor.source, Some(row.device_bound), now)
    }

    /// Who has this session; bound to the browser that opened it.
    pub async fn session(&self, secret: &str, visitor: &Visitor, now: Moment) -> Result<SessionRow, Problem> {
        let again = || Problem::new(401, "session", "sign in again");
        let row = self.store.session(hash_of("session", secret)).await?.ok_or_else(again)?;
        let idle = row.seen.plus_seconds(i64::from(self.config.console.idle_minutes) * 60);
        if row.ended.is_some() || row.expires <= now || idle <= now {
            return Err(again());
        }
        if row.terminal != visitor.terminal {
            let problem = Problem::new(401, "session-moved", "this session belongs to another browser, and has ended");
            self.note_refusal(&row.operator, "session", &problem, now).await;
            self.store.commit(Move::new(now).run(row.end(now))).await?;
            return Err(problem);
        }
        let operator = self.operator(&row.operator, now)?;
        self.check_restrictions(operator, visitor.source, None, now)?;
        // Once a minute is enough to know who is idle.
        if row.seen.plus_seconds(60) <= now {
            self.store.commit(Move::new(now).run(row.touch(now))).await?;
        }
        Ok(row)
    }

    /// Ends a session.
    pub async fn sign_out(&self, session: &SessionRow, now: Moment) -> Result<(), Problem> {
        let actor = format!("operator:{}", session.operator);
        let step = Move::new(now).run(session.end(now)).audit(&actor, "operator.signed-out", &session.credential, "");
        self.store.commit(step).await?;
        Ok(())
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
