//! Sessions: opened with a passkey, bound to the browser that opened them, ended by time, by their owner or by others.
//!
//! Every sign-in and every refusal stands in the audit log with person, source and terminal.

use policy::{Action, Passkey, verify_passkey};
use store::{CredentialRow, Move, SessionRow};
use types::{Digest, Moment, OperatorId};

use super::Custody;
use super::access::{Visitor, fresh_secret, hash_of};
use crate::problem::Problem;

/// How long a challenge can be answered, in seconds.
const CHALLENGE_SECONDS: i64 = 300;
/// Most challenges that wait for an answer; nobody gets another one beyond that, until some have ended.
const CHALLENGES_MAX: usize = 10_000;

impl Custody {
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
