use serde::{Deserialize, Serialize};
use types::RefusalCode;

/// The version that this crate speaks; a message of another version is refused.
pub const VERSION: u32 = 1;

/// A question to a signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// What is asked.
    pub body: RequestBody,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RequestBody {
    /// Who are you, and what state are you in?
    Hello,
    /// Remember this head of a peer's journal, and say so under your signature.
    Witness {
        /// The peer's signed head.
        head: Head,
    },
    /// What is the newest head that you remember of this peer? Answered with a statement over the nonce.
    Recall {
        /// The peer.
        signer: String,
        /// The peer's own fresh nonce.
        nonce: String,
    },
    /// Here is what every peer remembers of you, over the nonce that you gave at the start.
    Admit {
        /// One statement of each peer.
        statements: Vec<Statement>,
    },
    /// Check everything, and write down that you will sign.
    Prepare {
        /// The instructions that the transaction carries out.
        instructions: Vec<Instruction>,
        /// The transaction as a PSBT (BIP-174), hexadecimal.
        psbt: String,
    },
    /// Sign what you wrote down under this ticket, now that peers remember it.
    Release {
        /// From the answer to `Prepare`.
        ticket: String,
        /// Peers' statements over the head that the preparation made; their nonce is empty.
        statements: Vec<Statement>,
    },
    /// Show that you could sign: prove that your key and your journal work.
    Canary {
        /// Any text of the asker's, up to 128 characters.
        challenge: String,
    },
    /// Stop signing for this latch: `all`, `wallet:NAME` or `customer:NAME`. Takes effect at once and outlives restarts.
    Freeze {
        /// The latch.
        latch: String,
        /// Why, in words.
        reason: String,
    },
    /// Carry out an instruction that moves no coins: open a latch, or release an anchor.
    Execute {
        /// The instruction with its approvals.
        instruction: Instruction,
    },
    /// Take the next charter.
    Adopt {
        /// Its canonical bytes, as text.
        charter: String,
        /// Signatures over its digest.
        approvals: Vec<Approval>,
    },
    /// How much of each limit is used?
    Exposure,
    /// Which transactions have you released, of which nobody has proved to you what came of them? They count in full until then.
    Standing {
        /// The last of those that were told before; empty to begin.
        after: String,
    },
    /// Which transactions have you ever released? Whoever keeps a record of what signers are asked compares it with this: unlike what
    /// stands, nothing that a caller brings takes anything out of it.
    Releases {
        /// The number of the first that is to be told, from 1, in the order of your journal.
        from: u64,
    },
    /// What do you know of this transaction? Say it under your signature.
    Attest {
        /// Its identifier.
        txid: String,
        /// The instructions that it pays for, in canonical form.
        instructions: Vec<String>,
    },
    /// Here is what your peers say about transactions that you have released.
    Settle {
        /// Of any number of peers.
        attestations: Vec<Attestation>,
    },
    /// In what state is each of your keys?
    Board,
}

/// An instruction with what proves that people want it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instruction {
    /// The canonical form, as text.
    pub canonical: String,
    /// The proof.
    pub evidence: Evidence,
}

/// The proof that people want it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The customer's own signed request.
    pub customer_request: Option<Customer>,
    /// Operators' approvals.
    pub approvals: Vec<Approval>,
}

/// A customer's signed request (RFC 9421), as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// HTTP method.
    pub method: String,
    /// Path.
    pub path: String,
    /// `Idempotency-Key`.
    pub idempotency_key: String,
    /// `Content-Digest`.
    pub content_digest: String,
    /// `Signature-Input`.
    pub signature_input: String,
    /// `Signature`.
    pub signature: String,
    /// The body.
    pub body: String,
}

impl From<&types::CustomerRequest> for Customer {
    fn from(request: &types::CustomerRequest) -> Customer {
        Customer {
            method: request.method.clone(),
            path: request.path.clone(),
            idempotency_key: request.idempotency_key.clone(),
            content_digest: request.content_digest.clone(),
            signature_input: request.signature_input.clone(),
            signature: request.signature.clone(),
            body: request.body.clone(),
        }
    }
}

impl From<Customer> for types::CustomerRequest {
    fn from(request: Customer) -> types::CustomerRequest {
        types::CustomerRequest {
            method: request.method,
            path: request.path,
            idempotency_key: request.idempotency_key,
            content_digest: request.content_digest,
            signature_input: request.signature_input,
            signature: request.signature,
            body: request.body,
        }
    }
}

/// An operator's SSH signature, or the assertion of a passkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who.
    pub operator: String,
    /// Armoured signature.
    pub signature: String,
}

/// The newest record of a signer's journal, under the signer's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Whose journal.
    pub signer: String,
    /// Number of the record, from 1.
    pub seq: u64,
    /// The chain's hash up to and with that record, hexadecimal.
    pub hash: String,
    /// Ed25519 signature, hexadecimal.
    pub signature: String,
}

/// What one signer remembers of another's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Who remembers.
    pub witness: String,
    /// Whose journal.
    pub signer: String,
    /// Number of the record; 0 when nothing is remembered.
    pub seq: u64,
    /// Its hash; empty when nothing is remembered.
    pub hash: String,
    /// The nonce that was asked for; empty in a statement for a release.
    pub nonce: String,
    /// Ed25519 signature, hexadecimal.
    pub signature: String,
}

/// What a signer says that it knows of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It has handed out its signatures of this transaction.
    Released,
    /// This instruction has expired by its clock, and it has never handed out a signature for it, so that it never will.
    Never,
}

impl Fate {
    /// Its word in what is signed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fate::Released => "released",
            Fate::Never => "never",
        }
    }
}

/// What one signer says about a transaction or an instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// Who.
    pub witness: String,
    /// What.
    pub fate: Fate,
    /// The transaction's identifier, or the instruction's digest.
    pub of: String,
    /// Ed25519 signature, hexadecimal.
    pub signature: String,
}

/// A transaction whose end a signer has not heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Its identifier.
    pub txid: String,
    /// The instructions that it pays for, in canonical form.
    pub instructions: Vec<String>,
}

/// One signature on one input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Position of the input.
    pub input: usize,
    /// Compressed public key, hexadecimal.
    pub public_key: String,
    /// DER with the hash type, hexadecimal.
    pub signature: String,
}

/// A limit and how much of it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The wallet.
    pub wallet: String,
    /// The tier; empty for a limit over all tiers.
    pub tier: String,
    /// Length of the window in seconds.
    pub seconds: u64,
    /// The limit, in base units.
    pub amount_max: String,
    /// Used within the window, in base units.
    pub used: String,
    /// The most that leaves within any such window by all signers together, in base units: `n * limit / m`.
    pub exposure_max: String,
    /// The same when one signer is the attacker's: `(n - 1) * limit / (m - 1)`; the largest amount there is when that is no limit.
    pub exposure_owned_max: String,
}

/// One key on the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLine {
    /// `signature`, `verification`, `sealing` or `seed`.
    pub kind: String,
    /// Its name among its kind.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// Who brought it there; empty when it went by itself.
    pub person: String,
    /// At which terminal.
    pub terminal: String,
    /// An instruction's identifier, or what else brought it about.
    pub cause: String,
    /// The wallet that it serves; empty when none.
    pub wallet: String,
    /// Whether it is in memory and can sign.
    pub open: bool,
    /// Until when a quorum lets it be open (RFC 3339); empty when none does.
    pub until: String,
    /// Signatures that are left of what the quorum allowed.
    pub signatures_left: u64,
    /// How long it was open in all, in seconds.
    pub active_seconds: u64,
    /// How often it moved.
    pub moves: u64,
    /// The device that holds it: `manufacturer/model/firmware`, serial number, certificate; empty for a key in no device.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device: String,
}

/// One way to open a sealed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotLine {
    /// `seed` or `accounts`.
    pub vault: String,
    /// Its name.
    pub slot: String,
    /// `passphrase`, `shares 2 of 3`, `token LABEL` or `age`.
    pub kind: String,
    /// Who holds it.
    pub holders: Vec<String>,
    /// The sealing key that it gives.
    pub sealing_key: String,
}

/// A ceremony that was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceremony {
    /// When (RFC 3339).
    pub at: String,
    /// Which step.
    pub step: String,
    /// What came of it.
    pub detail: String,
    /// Who.
    pub person: String,
    /// At which terminal.
    pub terminal: String,
    /// An instruction's identifier, or what else brought it about.
    pub cause: String,
}

/// A signer's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// [`VERSION`].
    pub version: u32,
    /// The answer.
    pub body: ReplyBody,
}

/// The answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ReplyBody {
    /// To `Hello`.
    Hello {
        /// Identifier.
        signer: String,
        /// Version of the charter held.
        charter: u64,
        /// Its digest.
        charter_digest: String,
        /// Newest record.
        head: Head,
        /// Latches that are closed.
        latches: Vec<String>,
        /// What peers must sign to admit this signer; empty once admitted.
        nonce: String,
    },
    /// To `Witness` and `Recall`.
    Statement(Statement),
    /// To `Prepare`.
    Prepared {
        /// Names what was written down.
        ticket: String,
        /// The head that peers must remember before the release.
        head: Head,
    },
    /// To `Release`.
    Signatures(Vec<Signature>),
    /// To `Canary`: a signature over the challenge (DER, hexadecimal) and its key.
    Canary {
        /// Compressed public key, hexadecimal.
        public_key: String,
        /// Signature, hexadecimal.
        signature: String,
    },
    /// To `Exposure`.
    Exposure(Vec<Limit>),
    /// To `Standing`: in the order of their identifiers, some at a time.
    Standing(Vec<Standing>),
    /// To `Releases`: identifiers, some at a time; none when there are not that many.
    Releases(Vec<String>),
    /// To `Attest`.
    Attested(Vec<Attestation>),
    /// To `Board`.
    Board {
        /// Every key that the signer ever had.
        keys: Vec<KeyLine>,
        /// The newest ceremonies, newest first.
        ceremonies: Vec<Ceremony>,
        /// Who can open its sealed files, and with what.
        slots: Vec<SlotLine>,
        /// Who administers its machine, by the charter.
        custodians: Vec<String>,
    },
    /// To everything else that was done.
    Done,
    /// It was not done.
    Refused(Refusal),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Stable name of the rule.
    #[serde(with = "spelled")]
    pub code: RefusalCode,
    /// Why, in words.
    pub reason: String,
    /// What its writer said of asking again: kept, since answers have one spelling, and not believed.
    #[serde(rename = "retry")]
    said: bool,
}

impl Refusal {
    /// A refusal by `code`.
    pub fn new(code: RefusalCode, reason: impl Into<String>) -> Refusal {
        Refusal { said: code.retry(), code, reason: reason.into() }
    }

    /// Whether trying again, unchanged, can help: by its code, whatever its writer said.
    pub const fn retry(&self) -> bool {
        self.code.retry()
    }
}

/// Codes by their spelling.
mod spelled {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use types::RefusalCode;

    pub(super) fn serialize<S: Serializer>(code: &RefusalCode, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(code.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RefusalCode, D::Error> {
        String::deserialize(deserializer).map(|text| RefusalCode::from(text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_spelled_as_ever_and_whether_to_ask_again_follows_from_its_code() {
        let written = |code: &str, retry: bool| format!(r#"{{"code":"{code}","reason":"why","retry":{retry}}}"#);
        for code in RefusalCode::ALL {
            let refusal = Refusal::new(code.clone(), "why");
            let text = written(code.as_str(), code.retry());
            assert_eq!(serde_json::to_string(&refusal).unwrap(), text);
            assert_eq!(serde_json::from_str::<Refusal>(&text).unwrap(), refusal);
        }
        // What another version wrote is kept as it came, for the one spelling of answers; that it may be asked again is not believed.
        for code in ["moon-too-full", "expired"] {
            let newer: Refusal = serde_json::from_str(&written(code, true)).unwrap();
            assert!(newer.code.as_str() == code && !newer.retry());
            assert_eq!(serde_json::to_string(&newer).unwrap(), written(code, true));
        }
        assert!(serde_json::from_str::<Refusal>(r#"{"code":"expired","reason":"why"}"#).is_err());
    }
}
