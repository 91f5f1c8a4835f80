//! Webhooks: events told to others in order, signed (Standard Webhooks 1.0, Ed25519), tried again until they are taken.
//!
//! Trusts nobody at the other end. An address inside a private network is refused when it is connected to, whatever its name said
//! before; redirections are not followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use policy::Action;
use store::{Move, Statement, WebhookRow};
use tokio::sync::watch;
use tokio::task::JoinSet;
use types::{Moment, OperatorId};
use ureq::Agent;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::{Custody, StepError, blocking, now};
use crate::cli::ApiKey;
use crate::config::{Config, WebhookConfig};
use crate::problem::Problem;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often we look for something to tell.
const LOOK: Duration = Duration::from_millis(300);
/// What this pipeline is called.
pub const WEBHOOKS: &str = "webhooks";
/// How often it says that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// Events that are read at once.
const BATCH: u32 = 50;
/// Failures after which people are told.
const ALARM_FAILURES: u32 = 5;
/// The longest wait between two tries, in seconds.
const WAIT_SECONDS_MAX: i64 = 3_600;

/// Whether an address is one of the public Internet.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let special = a == 0 || a >= 224 || (a == 192 && b == 0 && c == 0) || (a == 198 && (b == 18 || b == 19));
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || shared
        || special)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Only what is given out for global unicast. Within it are special (RFC 6890 and its registry): 2001::/23, which wraps addresses of
    // version 4 (Teredo) or names no host; documentation in 2001:db8::/32 and 3fff::/20; 6to4 in 2002::/16, wrapping them again.
    let global = (0x2000..0x4000).contains(&first);
    let special = match first {
        0x2001 => second < 0x0200 || second == 0x0db8,
        0x2002 => true,
        0x3fff => second < 0x1000,
        _ => false,
    };
    global && !special
}

/// Looks names up, and gives no address out that is not public.
#[derive(Debug, Default)]
struct PublicOnly(DefaultResolver);

impl Resolver for PublicOnly {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        match found.iter().find(|address| !is_public(address.ip())) {
            Some(inside) => Err(ureq::Error::Other(
                format!("{} is an internal address, which webhooks are not sent to", inside.ip()).into(),
            )),
            None => Ok(found),
        }
    }
}

fn agent(webhook: &WebhookConfig) -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .https_only(!webhook.private)
        .build();
    if webhook.private {
        config.into()
    } else {
        Agent::with_parts(config, DefaultConnector::default(), PublicOnly::default())
    }
}

/// Refuses a configuration with which nothing could be told.
pub fn check(config: &Config) -> Result<(), String> {
    for webhook in &config.webhooks {
        let fits = webhook.url.starts_with("https://") || (webhook.private && webhook.url.starts_with("http://"));
        if !fits {
            return Err(format!(
                "the webhook {} is not https; only receivers of your own (\"private\": true) may be plain HTTP",
                webhook.url
            ));
        }
        if config.webhook_key.is_none() {
            return Err(
                "webhooks need a key that signs: `claviger key new FILE`, then name it as \"webhook_key\"".to_owned()
            );
        }
    }
    match &config.webhook_key {
        Some(path) => ApiKey::read(path).map(|_| ()),
        None => Ok(()),
    }
}

/// Tells every webhook what happens, each at its own pace, until `stop`.
pub async fn tell(custody: Arc<Custody>, mut stop: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    for webhook in &custody.config.webhooks {
        tasks.spawn(tell_one(Arc::clone(&custody), webhook.clone(), stop.clone()));
    }
    while !*stop.borrow() {
        custody.pulse.beat(WEBHOOKS);
        tokio::select! {
            // One that panicked takes the others along: whoever supervises them begins all of them anew.
            Some(Err(ended)) = tasks.join_next() => {
                if let Ok(panic) = ended.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
            _ = stop.changed() => {}
            () = tokio::time::sleep(BEAT) => {}
        }
    }
    // They have heard it as well; what they are telling is told.
    while tasks.join_next().await.is_some() {}
}

async fn tell_one(custody: Arc<Custody>, webhook: WebhookConfig, mut stop: watch::Receiver<bool>) {
    let agent = agent(&webhook);
    let key = custody.config.webhook_key.as_deref().and_then(|path| ApiKey::read(path).ok());
    let Some(key) = key else { return };
    while !*stop.borrow() {
        let more = custody.tell_next(&agent, &key, &webhook.url).await.unwrap_or(false);
        if more {
            continue;
        }
        tokio::select! {
            _ = stop.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl Custody {
    /// How far a webhook has been told; one that is new begins with what happens from now on.
    pub async fn webhook(&self, url: &str) -> Result<WebhookRow, StepError> {
        if let Some(row) = self.store.webhook(url).await? {
            return Ok(row);
        }
        let at = now();
        let delivered = self.store.last_event().await?;
        let row = WebhookRow {
            url: url.to_owned(),
            delivered,
            failures: 0,
            next_at: at,
            problem: String::new(),
            updated: at,
        };
        self.store.commit(Move::new(at).run(row.put())).await?;
        Ok(row)
    }

    /// Tells the next events; whether there is more to tell at once.
    async fn tell_next(&self, agent: &Agent, key: &ApiKey, url: &str) -> Result<bool, StepError> {
        let row = self.webhook(url).await?;
        if row.next_at > now() {
            return Ok(false);
        }
        let events = self.store.events(row.delivered, BATCH).await?;
        let full = events.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX);
        let mut row = row;
        for event in events {
            let outcome = blocking(|| send(agent, key, url, &event));
            let at = now();
            let next = match &outcome {
                Ok(()) => WebhookRow {
                    delivered: event.seq,
                    failures: 0,
                    next_at: at,
                    problem: String::new(),
                    updated: at,
                    ..row.clone()
                },
                Err(problem) => {
                    let failures = row.failures.saturating_add(1);
                    let wait = 1i64.checked_shl(failures.min(20)).unwrap_or(WAIT_SECONDS_MAX).min(WAIT_SECONDS_MAX) / 2;
                    WebhookRow {
                        failures,
                        next_at: at.plus_seconds(wait),
                        problem: problem.clone(),
                        updated: at,
                        ..row.clone()
                    }
                }
            };
            let mut step = Move::new(at).run(next.advance(row.delivered));
            if next.failures == ALARM_FAILURES {
                let words = format!("events have not been taken {ALARM_FAILURES} times: {}", next.problem);
                step = step.run(Statement::raise_alarm("webhook", url, &words, at)).audit(
                    "system",
                    "alarm.webhook",
                    url,
                    words,
                );
            } else if next.failures == 0 && row.failures >= ALARM_FAILURES {
                step = step.run(Statement::clear_alarm("webhook", url, at)).audit(
                    "system",
                    "alarm.cleared",
                    url,
                    "webhook",
                );
            }
            // Somebody who has asked for a replay meanwhile goes before: then nothing is written here.
            self.store.commit(step).await?;
            if outcome.is_err() {
                return Ok(false);
            }
            row = next;
        }
        Ok(full)
    }

    /// Tells a webhook everything again that happened after an event.
    pub async fn replay_events(
        &self,
        url: &str,
        after: u64,
        operator: &OperatorId,
        now: Moment,
    ) -> Result<WebhookRow, Problem> {
        self.allow(operator, Action::ReplayEvents, now).await?;
        if !self.config.webhooks.iter().any(|webhook| webhook.url == url) {
            return Err(Problem::not_found("webhook"));
        }
        let newest = self.store.last_event().await?;
        if after > newest {
            return Err(Problem::invalid("after", format!("the newest event is {newest}")));
        }
        let row = WebhookRow {
            url: url.to_owned(),
            delivered: after,
            failures: 0,
            next_at: now,
            problem: String::new(),
            updated: now,
        };
        let step = Move::new(now).run(row.put()).audit(
            &format!("operator:{operator}"),
            "webhook.replayed",
            url,
            format!("after {after}"),
        );
        self.store.commit(step).await?;
        Ok(row)
    }

    /// The public key with which receivers verify, in the standard's form.
    pub fn webhook_public_key(&self) -> Option<String> {
        let key = ApiKey::read(self.config.webhook_key.as_deref()?).ok()?;
        Some(format!("whpk_{}", base64(&key.public())))
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::Encoding as _;
    base64ct::Base64::encode_string(bytes)
}

fn send(agent: &Agent, key: &ApiKey, url: &str, event: &store::EventRow) -> Result<(), String> {
    let id = format!("evt_{}", event.seq);
    let timestamp = now().seconds().to_string();
    let data: serde_json::Value = serde_json::from_str(&event.body).unwrap_or_default();
    let payload = serde_json::json!({
        "type": event.kind, "timestamp": event.at.to_string(),
        "data": {"sequence": event.seq, "subject": event.subject, "detail": data},
    })
    .to_string();
    let signed = key.sign_bytes(format!("{id}.{timestamp}.{payload}").as_bytes());
    let answer = agent
        .post(url)
        .header("webhook-id", &id)
        .header("webhook-timestamp", &timestamp)
        .header("webhook-signature", format!("v1a,{}", base64(&signed)))
        .content_type("application/json")
        .send(&payload)
        .map_err(super::explain)?;
    match answer.status().as_u16() {
        200..300 => Ok(()),
        status => Err(format!("the receiver answered with status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t08_only_addresses_of_the_public_internet_are_told() {
        let public = |text: &str| text.parse().map(is_public);
        for address in ["93.184.215.14", "1.1.1.1", "100.63.0.1", "100.128.0.1", "172.32.0.1"] {
            assert_eq!(public(address), Ok(true), "{address}");
        }
        // The neighbours of what is not public.
        for address in ["2606:4700::1111", "2001:200::1", "2001:db7:ffff::1", "2001:db9::1", "2003::1", "3fff:1000::1"]
        {
            assert_eq!(public(address), Ok(true), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "::10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::5db8:d70e",
            "64:ff9b:1::a00:1",
            "100::1",
            "2001::1",
            "2001:0:5db8:d70e::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:30::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:a00:1::",
            "2002:5db8:d70e::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "5f00::1",
            "fc00::1",
            "febf::1",
            "fec0::1",
            "ff0e::1",
        ] {
            assert_eq!(public(address), Ok(false), "{address}");
        }
    }
}
