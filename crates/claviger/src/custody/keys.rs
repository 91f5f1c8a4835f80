//! Looks after the windows of signature keys: people hear of it before a key closes, and while one is closed.

use signer_wire::{KeyLine, ReplyBody, RequestBody};
use types::Moment;

use super::{Custody, blocking};

/// People are told when a key closes within this time, in seconds.
const SOON_SECONDS: i64 = 4 * 3_600;
/// People are told when a key has fewer signatures left than this.
const FEW_SIGNATURES: u64 = 100;

/// What there is to say of one signer's key of one wallet.
pub struct KeyNotice {
    /// `SIGNER WALLET`.
    pub subject: String,
    /// What people should know; none when all is well.
    pub message: Option<String>,
}

impl Custody {
    /// Asks every signer that answers about its keys. Signers that do not answer have an alarm of their own.
    pub(super) fn watch_keys(&self, now: Moment) -> Vec<KeyNotice> {
        let mut notices = Vec::new();
        blocking(|| {
            for (client, config) in self.signers().iter_mut().zip(&self.config.signers) {
                if let Ok(ReplyBody::Board { keys, .. }) = client.call(RequestBody::Board) {
                    let served = keys.iter().filter(|key| !key.wallet.is_empty());
                    notices.extend(served.map(|key| KeyNotice {
                        subject: format!("{} {}", config.id, key.wallet),
                        message: worry(&config.id, key, now),
                    }));
                }
            }
        });
        notices
    }
}

fn worry(signer: &str, key: &KeyLine, now: Moment) -> Option<String> {
    let wallet = &key.wallet;
    if key.state == types::KeyState::Suspended.as_str() {
        return Some(format!(
            "the key of wallet {wallet} at {signer} is suspended for ever; put another in the charter"
        ));
    }
    if !key.open && key.until.is_empty() {
        return Some(format!("the key of wallet {wallet} is closed at {signer}; propose an activation"));
    }
    if !key.open {
        return Some(format!(
            "the key of wallet {wallet} is closed at {signer}; its holders may open it until {}",
            key.until
        ));
    }
    let until: Moment = key.until.parse().ok()?;
    if until <= now.plus_seconds(SOON_SECONDS) || key.signatures_left < FEW_SIGNATURES {
        let left = key.signatures_left;
        return Some(format!(
            "the key of wallet {wallet} at {signer} closes at {until} or after {left} signatures; propose an activation"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(open: bool, until: &str, left: u64) -> KeyLine {
        KeyLine {
            kind: "signature".to_owned(),
            name: "0".to_owned(),
            state: if open { "in-use" } else { "inactive" }.to_owned(),
            since: String::new(),
            person: String::new(),
            terminal: String::new(),
            cause: String::new(),
            wallet: "hot".to_owned(),
            open,
            until: until.to_owned(),
            signatures_left: left,
            active_seconds: 0,
            moves: 0,
            device: String::new(),
        }
    }

    #[test]
    fn people_hear_of_closed_keys_and_of_those_that_close_soon() {
        let now: Moment = "2030-01-01T00:00:00Z".parse().unwrap();
        let says = |key: &KeyLine| worry("s1", key, now).unwrap_or_default();
        assert!(says(&key(false, "", 0)).contains("propose an activation"));
        assert!(says(&key(false, "2030-01-01T05:00:00Z", 9)).contains("its holders may open it"));
        assert!(says(&key(true, "2030-01-01T04:00:00Z", 500)).contains("closes at"));
        assert!(says(&key(true, "2030-01-09T00:00:00Z", 99)).contains("after 99 signatures"));
        assert_eq!(worry("s1", &key(true, "2030-01-01T04:00:01Z", 100), now), None);
        let suspended = KeyLine { state: "suspended".to_owned(), ..key(false, "", 0) };
        assert!(says(&suspended).contains("suspended"));
    }
}
