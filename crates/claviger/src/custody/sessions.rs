//! Sessions: opened with a passkey, bound to the browser that opened them, ended by time, by their owner or by others.
//!
//! Every sign-in and every refusal stands in the audit log with person, source and terminal.

use std::collections::{BTreeMap, VecDeque};

use policy::{Action, Passkey, verify_passkey};
use signer_wire::Source;
use store::{CredentialRow, Move, SessionRow};
use types::{Digest, Moment, OperatorId};

use super::Custody;
use super::access::{Visitor, fresh_secret, hash_of};
use crate::problem::Problem;

/// How long a challenge can be answered, in seconds.
const CHALLENGE_SECONDS: i64 = 300;
/// Most challenges that wait for an answer, from one source: the oldest of its own gives way to its next.
const CHALLENGES_OF_SOURCE_MAX: usize = 50;
/// Most of all: the oldest of the source with the most gives way.
const CHALLENGES_MAX: usize = 10_000;

/// Challenges that were given out, oldest first within each source, with the end of each.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    sources: BTreeMap<Source, VecDeque<(Digest, Moment)>>,
    count: usize,
}

impl Challenges {
    fn give(&mut self, source: Source, challenge: Digest, now: Moment) {
        let of_source = self.sources.get(&source).map_or(0, VecDeque::len);
        if of_source >= CHALLENGES_OF_SOURCE_MAX {
            self.forget_oldest(source);
        } else if self.count >= CHALLENGES_MAX {
            self.forget_ended(now);
            let most = self.sources.iter().max_by_key(|(_, own)| own.len()).map(|(source, _)| *source);
            if let Some(most) = most.filter(|_| self.count >= CHALLENGES_MAX) {
                self.forget_oldest(most);
            }
        }
        self.sources.entry(source).or_default().push_back((challenge, now.plus_seconds(CHALLENGE_SECONDS)));
        self.count += 1;
    }

    /// Whether it was given out and is fresh; it is used up. Its answer may come from elsewhere: people change networks.
    fn take(&mut self, challenge: &Digest, now: Moment) -> bool {
        let found = self.sources.iter().find_map(|(source, own)| {
            let place = own.iter().position(|(one, _)| one == challenge)?;
            Some((*source, place))
        });
        let Some((source, place)) = found else { return false };
        let Some(own) = self.sources.get_mut(&source) else { return false };
        let until = own.remove(place).map(|(_, until)| until);
        if own.is_empty() {
            self.sources.remove(&source);
        }
        self.count -= 1;
        until.is_some_and(|until| until > now)
    }

    fn forget_oldest(&mut self, source: Source) {
        if let Some(own) = self.sources.get_mut(&source)
            && own.pop_front().is_some()
        {
            self.count -= 1;
            if own.is_empty() {
                self.sources.remove(&source);
            }
        }
    }

    fn forget_ended(&mut self, now: Moment) {
        self.sources.retain(|_, own| {
            own.retain(|(_, until)| *until > now);
            !own.is_empty()
        });
        self.count = self.sources.values().map(VecDeque::len).sum();
    }
}

impl Custody {
    /// A challenge for signing in: used once, soon.
    pub fn challenge(&self, visitor: &Visitor, now: Moment) -> Result<Digest, Problem> {
        let challenge = hash_of("sign-in", &fresh_secret()?);
        self.challenges().give(Source::of(visitor.source), challenge, now);
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
        let fresh = self.challenges().take(challenge, now);
        let stale = || Problem::new(403, "challenge", "this sign-in took too long or was tried before; begin again");
        let Some(row) = self.store.credential(credential).await? else {
            let unknown = Problem::new(403, "passkey-unknown", "this passkey is not enrolled here");
            let problem = if fresh { unknown } else { stale() };
            self.note_stranger("sign-in", &problem, visitor, now).await;
            return Err(problem);
        };
        if !fresh {
            // Who it is was not proved: this is a stranger who names somebody's passkey.
            self.note_stranger("sign-in", &stale(), visitor, now).await;
            return Err(stale());
        }
        if let Err(problem) = self.check_sign_in(&row, challenge, assertion, visitor, now) {
            self.note_refusal(&row.operator, "sign-in", &problem, visitor, now).await;
            return Err(problem);
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
            self.note_refusal(&row.operator, "session", &problem, visitor, now).await;
            self.store.commit(Move::new(now).run(row.end(now))).await?;
            return Err(problem);
        }
        let allowed = self.operator(&row.operator, now);
        let allowed = allowed.and_then(|operator| self.check_restrictions(operator, visitor.source, None, now));
        if let Err(problem) = allowed {
            self.note_refusal(&row.operator, "session", &problem, visitor, now).await;
            return Err(problem);
        }
        // Once a minute is enough to know who is idle.
        if row.seen.plus_seconds(60) <= now {
            self.store.commit(Move::new(now).run(row.touch(now))).await?;
        }
        Ok(row)
    }

    /// Whether a session that was let in before still is, for pages that stay open.
    pub async fn lasts(&self, session: &SessionRow, now: Moment) -> bool {
        let row = self.store.session(session.secret).await;
        matches!(row, Ok(Some(row)) if row.ended.is_none() && row.expires > now)
    }

    /// Somebody ends a session by its name ([`session_name`]): their own, or as somebody who may.
    pub async fn end_session(&self, name: &str, actor: &OperatorId, now: Moment) -> Result<SessionRow, Problem> {
        let row = match name.parse() {
            Ok(secret) => self.store.session(secret).await?,
            Err(_) => None,
        };
        if row.as_ref().is_none_or(|row| row.operator != actor.as_str()) {
            self.allow(actor, Action::EndSession, now).await?;
        }
        let row = row.ok_or_else(|| Problem::not_found("session"))?;
        if row.ended.is_none() {
            let detail = format!("of {}, from {}, {}", row.operator, row.source, row.terminal);
            let name = format!("operator:{actor}");
            let step = Move::new(now).run(row.end(now)).audit(&name, "session.ended", &row.credential, detail);
            self.store.commit(step).await?;
        }
        Ok(SessionRow { ended: row.ended.or(Some(now)), ..row })
    }

    /// Signs somebody out.
    pub async fn sign_out(&self, session: &SessionRow, now: Moment) -> Result<(), Problem> {
        let actor = format!("operator:{}", session.operator);
        let step = Move::new(now).run(session.end(now)).audit(&actor, "operator.signed-out", &session.credential, "");
        self.store.commit(step).await?;
        Ok(())
    }
}

/// What a session is called where people see it: the hash of its secret, from which nobody finds the secret.
pub fn session_name(session: &SessionRow) -> String {
    session.secret.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u16) -> Source {
        let [high, low] = number.to_be_bytes();
        Source::of([10, 0, high, low].into())
    }

    fn challenge(number: u32) -> Digest {
        Digest::of(&[&number.to_be_bytes()])
    }

    #[test]
    fn t08_one_source_asks_for_challenges_at_its_own_cost_alone() {
        let (mut challenges, now) = (Challenges::default(), Moment::from_seconds(1_000));
        let honest = challenge(u32::MAX);
        challenges.give(source(0), honest, now);
        for number in 0..20_000 {
            challenges.give(source(1), challenge(number), now);
        }
        assert_eq!(challenges.count, CHALLENGES_OF_SOURCE_MAX + 1);
        assert!(!challenges.take(&challenge(0), now), "its oldest gave way");
        assert!(challenges.take(&honest, now) && !challenges.take(&honest, now));
        // Many sources together: from where most come, one gives way, and the bound holds.
        challenges.give(source(0), honest, now);
        for number in 0..20_000u32 {
            challenges.give(source(2 + u16::try_from(number / 40).unwrap()), challenge(number), now);
        }
        assert_eq!(challenges.count, CHALLENGES_MAX);
        assert!(challenges.take(&honest, now));
        // What has ended makes room.
        challenges.give(source(9_999), challenge(1), now);
        challenges.give(source(9_998), challenge(2), now.plus_seconds(CHALLENGE_SECONDS));
        assert_eq!(challenges.count, 1);
        assert!(!challenges.take(&challenge(2), now.plus_seconds(2 * CHALLENGE_SECONDS)), "too late");
    }
}
