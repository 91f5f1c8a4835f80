//! The witnessed journal: signers remember each other's heads, so that an old copy of one's state is noticed by the others.

use std::collections::BTreeSet;

use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use policy::SignerIdentity;
use signer_wire::{Head, ReplyBody, Statement};
use types::{Digest, Latch, Moment, SignerId};

use super::Core;
use crate::record::Event;
use crate::refusal::{Code, Refused};

fn head_text(head: &Head) -> String {
    format!("claviger-journal-head-v1\n{}\n{}\n{}", head.signer, head.seq, head.hash)
}

fn statement_text(statement: &Statement) -> String {
    let Statement { witness, signer, seq, hash, nonce, .. } = statement;
    format!("claviger-journal-statement-v1\n{witness}\n{signer}\n{seq}\n{hash}\n{nonce}")
}

pub(super) fn verified(key: &[u8; 32], text: &str, signature: &str) -> bool {
    let mut bytes = [0; 64];
    let Ok(key) = VerifyingKey::from_bytes(key) else { return false };
    hex::decode_to_slice(signature, &mut bytes).is_ok()
        && key.verify_strict(text.as_bytes(), &Signature::from_bytes(&bytes)).is_ok()
}

/// How many heads of a peer are written down at once while this signer itself does nothing; further ones one in each [`HEAD_MICROS`].
/// Who signs with a peer writes its own intent between two heads, and never comes near it.
const HEADS_MAX: u64 = 256;
/// The time for each further head, in microseconds.
const HEAD_MICROS: i64 = 1_000_000;

impl Core {
    /// The newest record of this signer's own journal that tells of more than a peer's head, signed. If what it remembers of others made
    /// a new head, two signers' heads could be passed to and fro for ever, each making the next, until the disks are full. The
    /// records in between are witnessed with the next one, whose hash stands for all in front of it.
    pub(crate) fn head(&self) -> Head {
        let seq = self.journal.own_seq();
        self.head_at(seq, self.journal.hash_at(seq).unwrap_or(self.journal.head()))
    }

    fn head_at(&self, seq: u64, hash: Digest) -> Head {
        let mut head = Head { signer: self.id.to_string(), seq, hash: hash.to_string(), signature: String::new() };
        head.signature = hex::encode(self.keys.journal().sign(head_text(&head).as_bytes()).to_bytes());
        head
    }

    fn peer(&self, name: &str) -> Result<SignerIdentity, Refused> {
        let known = self.charter()?.signers.iter().find(|peer| peer.id != self.id && peer.id.as_str() == name).cloned();
        known.ok_or_else(|| Refused::new(Code::UnknownPeer, "the charter names no such peer of this signer"))
    }

    fn state_about(&self, peer: &SignerId, seq: u64, hash: String, nonce: String) -> ReplyBody {
        let mut statement = Statement {
            witness: self.id.to_string(),
            signer: peer.to_string(),
            seq,
            hash,
            nonce,
            signature: String::new(),
        };
        statement.signature = hex::encode(self.keys.journal().sign(statement_text(&statement).as_bytes()).to_bytes());
        ReplyBody::Statement(statement)
    }

    /// Remembers a peer's head, durably, and says so. Refuses one that goes back or tells another history.
    pub(super) fn witness(&mut self, head: &Head, now: Moment) -> Result<ReplyBody, Refused> {
        let peer = self.peer(&head.signer)?;
        if !verified(&peer.journal_key, &head_text(head), &head.signature) {
            return Err(Refused::new(Code::HeadSignature, "the head is not signed by that peer"));
        }
        let hash: Digest =
            head.hash.parse().map_err(|_| Refused::new(Code::HeadForm, "the head's hash has no form"))?;
        match self.state.peers.get(&peer.id) {
            Some((seq, known)) if *seq == head.seq && *known != hash => {
                return Err(Refused::new(
                    Code::PeerForked,
                    format!("{} told another history of record {seq} before", peer.id),
                ));
            }
            Some((seq, _)) if *seq > head.seq => {
                return Err(Refused::new(Code::PeerBehind, format!("{} was at record {seq} before", peer.id)));
            }
            Some((seq, _)) if *seq == head.seq => {}
            _ => {
                self.check_heads(&peer.id, now)?;
                let event = Event::Peer { signer: peer.id.to_string(), seq: head.seq, hash: hash.to_string() };
                self.remember(self.stamp(now), event)?;
            }
        }
        Ok(self.state_about(&peer.id, head.seq, hash.to_string(), String::new()))
    }

    /// Refuses to write down heads as fast as a peer that is not what it was makes them up: they would fill the disk.
    fn check_heads(&self, peer: &SignerId, now: Moment) -> Result<(), Refused> {
        let (count, newest) = self.journal.heads_since(peer.as_str());
        if count < HEADS_MAX || self.stamp(now).micros().saturating_sub(newest) >= HEAD_MICROS {
            return Ok(());
        }
        let reason = format!("{count} heads of {peer} were written down while nothing else was; try again in a second");
        Err(Refused::new(Code::TooManyHeads, reason))
    }

    /// Says what it remembers of a peer, over the peer's own nonce.
    pub(super) fn recall(&self, signer: &str, nonce: &str) -> Result<ReplyBody, Refused> {
        let peer = self.peer(signer)?;
        let plain = !nonce.is_empty() && nonce.len() <= 64 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !plain {
            return Err(Refused::new(Code::Nonce, "a nonce has 1 to 64 hexadecimal digits"));
        }
        let (seq, hash) =
            self.state.peers.get(&peer.id).map_or((0, String::new()), |(seq, hash)| (*seq, hash.to_string()));
        Ok(self.state_about(&peer.id, seq, hash, nonce.to_owned()))
    }

    /// Opens after a start once every peer has spoken and none remembers more than this journal has.
    pub(super) fn admit(&mut self, statements: &[Statement], now: Moment) -> Result<ReplyBody, Refused> {
        let Some(nonce) = self.nonce.clone() else { return Ok(ReplyBody::Done) };
        let own = self.id.to_string();
        for peer in self.peers()? {
            let statement = statements
                .iter()
                .find(|statement| {
                    statement.witness == peer.id.as_str()
                        && statement.signer == own
                        && statement.nonce == nonce
                        && verified(&peer.journal_key, &statement_text(statement), &statement.signature)
                })
                .ok_or_else(|| {
                    Refused::new(Code::PeerMissing, format!("no fresh statement of {} about this signer", peer.id))
                })?;
            self.check_remembered(statement, now)?;
        }
        self.nonce = None;
        Ok(ReplyBody::Done)
    }

    /// What a signer without a network needs instead of witnesses: most of the connected signers say, over this very transaction and
    /// all that it pays, and so after the youngest of its instructions was made, what they remember of this signer's journal, and none of them remembers more than it has.
    pub(super) fn check_recalled(&mut self, nonce: &str, statements: &[Statement], now: Moment) -> Result<(), Refused> {
        let own = self.id.to_string();
        let peers = self.peers()?;
        let mut said: BTreeSet<SignerId> = BTreeSet::new();
        for statement in statements.iter().filter(|statement| statement.signer == own && statement.nonce == nonce) {
            let peer = peers.iter().find(|peer| statement.witness == peer.id.as_str());
            let Some(peer) =
                peer.filter(|peer| verified(&peer.journal_key, &statement_text(statement), &statement.signature))
            else {
                continue;
            };
            self.check_remembered(statement, now)?;
            said.insert(peer.id.clone());
        }
        let needed = peers.len() / 2 + 1;
        if said.len() >= needed {
            return Ok(());
        }
        let reason = format!("{} of {needed} connected signers say what they remember of this one", said.len());
        Err(Refused::new(Code::PeerMissing, reason))
    }

    /// Freezes for good when a peer remembers a record that this journal does not have.
    fn check_remembered(&mut self, statement: &Statement, now: Moment) -> Result<(), Refused> {
        let same = statement.seq == 0
            || self.journal.hash_at(statement.seq).map(|hash| hash.to_string()) == Some(statement.hash.clone());
        if same {
            return Ok(());
        }
        let reason = format!(
            "{} remembers record {} of this signer, which its journal does not have",
            statement.witness, statement.seq
        );
        self.freeze_behind(&reason, now)?;
        Err(Refused::new(Code::JournalBehind, reason))
    }

    /// Closes the latch of a journal that was put back to an older state, for good.
    pub(crate) fn freeze_behind(&mut self, reason: &str, now: Moment) -> Result<(), Refused> {
        // Once is enough: who asks again and again does not fill the disk.
        if self.state.latches.contains_key(&Latch::JournalBehind) {
            return Ok(());
        }
        let event = Event::Frozen { latch: Latch::JournalBehind.to_string(), reason: reason.to_owned() };
        self.remember(self.stamp(now), event).map(|_| ())
    }

    /// Refuses unless enough distinct peers say that they remember exactly this record.
    pub(super) fn check_witnessed(&self, seq: u64, statements: &[Statement], needed: usize) -> Result<(), Refused> {
        let own = self.id.to_string();
        let hash = self.journal.hash_at(seq).map(|hash| hash.to_string()).unwrap_or_default();
        let peers = self.peers()?;
        let counts = |peer: &&SignerIdentity| {
            statements.iter().any(|statement| {
                statement.witness == peer.id.as_str()
                    && statement.signer == own
                    && statement.seq == seq
                    && statement.hash == hash
                    && statement.nonce.is_empty()
                    && verified(&peer.journal_key, &statement_text(statement), &statement.signature)
            })
        };
        let distinct: BTreeSet<&SignerId> = peers.iter().filter(counts).map(|peer| &peer.id).collect();
        if distinct.len() >= needed {
            return Ok(());
        }
        let reason = format!("{} of {needed} peers say that they remember record {seq}", distinct.len());
        Err(Refused::new(Code::NotWitnessed, reason))
    }
}
