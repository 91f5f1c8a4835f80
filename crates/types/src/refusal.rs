//! Why something is not done, by name: every code that a signer or the charter's rules refuse with.

use std::fmt;

/// A code that this version does not know, as a newer signer wrote it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownCode(String);

/// Whether the cause goes away without the asker's doing: with time, or by a quorum.
macro_rules! retry {
    (passes) => {
        true
    };
    (stands) => {
        false
    };
}

macro_rules! codes {
    ($(#[doc = $doc:literal] $name:ident = $spelling:literal, $again:ident;)*) => {
        /// The stable name of a refusal. Its spelling stands in journals' answers, scripts and people's notes: it is never given to
        /// another rule.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RefusalCode {
            $(#[doc = $doc] $name,)*
            /// One that a newer signer has.
            Other(UnknownCode),
        }

        impl RefusalCode {
            /// Every code that this version knows.
            pub const ALL: &'static [RefusalCode] = &[$(RefusalCode::$name,)*];

            /// Its spelling.
            pub fn as_str(&self) -> &str {
                match self {
                    $(RefusalCode::$name => $spelling,)*
                    RefusalCode::Other(UnknownCode(text)) => text,
                }
            }

            /// What it means, in a sentence.
            pub const fn meaning(&self) -> &'static str {
                match self {
                    $(RefusalCode::$name => $doc.trim_ascii_start(),)*
                    RefusalCode::Other(_) => "A code of another version.",
                }
            }

            /// Whether asking again, unchanged, can help: the cause goes away with time, or by a quorum. What a newer signer means
            /// by a code is not known here, and is not tried again.
            pub const fn retry(&self) -> bool {
                match self {
                    $(RefusalCode::$name => retry!($again),)*
                    RefusalCode::Other(_) => false,
                }
            }
        }

        impl From<&str> for RefusalCode {
            fn from(text: &str) -> RefusalCode {
                match text {
                    $($spelling => RefusalCode::$name,)*
                    other => RefusalCode::Other(UnknownCode(other.to_owned())),
                }
            }
        }
    };
}

codes! {
    // Any question.
    /// What was sent is no message.
    Message = "message", stands;
    /// The message is of another version.
    Version = "version", stands;
    /// The certificate may freeze and look, and nothing else.
    FreezeOnly = "freeze-only", stands;
    /// No charter was taken yet.
    NoCharter = "no-charter", stands;
    /// Started anew; not every peer has said what it remembers.
    AwaitingPeers = "awaiting-peers", passes;
    /// A peer remembers records that this journal does not have.
    JournalBehind = "journal-behind", stands;
    /// The journal cannot be written; nothing was done.
    JournalUnwritable = "journal-unwritable", passes;
    /// A record makes no sense to this version.
    JournalNonsense = "journal-nonsense", stands;
    /// The journal cannot be read.
    Journal = "journal", stands;
    /// The clock is behind the journal.
    ClockBehind = "clock-behind", passes;
    /// A latch is closed.
    Frozen = "frozen", passes;
    // An instruction and its evidence.
    /// The bytes are no instruction.
    Instruction = "instruction", stands;
    /// Too many instructions, or none.
    InstructionCount = "instruction-count", stands;
    /// An instruction stands in the batch twice.
    InstructionTwice = "instruction-twice", stands;
    /// An approval names no operator.
    Approval = "approval", stands;
    /// Too many approvals.
    ApprovalCount = "approval-count", stands;
    /// Made under another version of the charter.
    CharterVersion = "charter-version", stands;
    /// The instruction's time is over.
    Expired = "expired", stands;
    /// Made at a time that is still to come.
    CreatedInFuture = "created-in-future", passes;
    /// It lives longer than the charter allows.
    Lifetime = "lifetime", stands;
    /// Instructions of this kind do something else.
    Kind = "kind", stands;
    /// It is for another signer.
    Signer = "signer", stands;
    /// It was carried out before.
    Executed = "executed", stands;
    /// People are missing, or what they sent does not count.
    ApprovalsMissing = "approvals-missing", stands;
    // Latches, anchors, destinations.
    /// No such latch, or it is not closed.
    Latch = "latch", stands;
    /// The latch closed after the instruction was made.
    LatchLater = "latch-later", stands;
    /// The reason is too long.
    Reason = "reason", stands;
    /// It is not the anchor of that instruction.
    Anchor = "anchor", stands;
    /// The charter knows no such customer.
    Customer = "customer", stands;
    /// The destination is none, or is not on the list.
    Destination = "destination", stands;
    // Charters.
    /// The bytes are no charter.
    Charter = "charter", stands;
    /// A charter is held already.
    CharterHeld = "charter-held", stands;
    /// The chain leaves out the charter of the restoring.
    CharterBase = "charter-base", stands;
    /// No charter was named.
    CharterMissing = "charter-missing", stands;
    /// The first charter's quorum did not sign it.
    CharterQuorum = "charter-quorum", stands;
    /// It does not follow the charter that is held.
    CharterSuccession = "charter-succession", stands;
    /// It does not fit this signer.
    CharterUnfit = "charter-unfit", stands;
    /// One seed stands under two signers.
    SeedShared = "seed-shared", stands;
    // Rules of the charter.
    /// The amount is none of this asset.
    Amount = "amount", stands;
    /// It moves nothing.
    AmountZero = "amount-zero", stands;
    /// The wallet holds another asset.
    Asset = "asset", stands;
    /// No such wallet, or more than one.
    Wallet = "wallet", stands;
    /// The charter has no tier for it.
    NoTier = "no-tier", stands;
    /// More than the tier allows in one instruction.
    AmountMax = "amount-max", stands;
    /// Its share of the fee is more than it allows.
    FeeMax = "fee-max", stands;
    /// The tier's window is full.
    TierWindow = "tier-window", passes;
    /// The wallet's window over all tiers is full.
    TotalWindow = "total-window", passes;
    /// The customer did not ask for exactly this.
    CustomerSignature = "customer-signature", stands;
    /// The tier is closed at this hour.
    Hours = "hours", passes;
    /// Everything is there; the tier's wait runs.
    Delay = "delay", passes;
    // The transaction.
    /// The bytes are no PSBT as it is written here.
    Psbt = "psbt", stands;
    /// The transaction's version is not 2.
    TransactionVersion = "transaction-version", stands;
    /// The lock time or a sequence is not as generated.
    LockTime = "lock-time", stands;
    /// No inputs, or too many.
    InputCount = "input-count", stands;
    /// A coin is spent twice.
    SameInput = "same-input", stands;
    /// The PSBT holds fields that are not expected.
    UnknownFields = "unknown-fields", stands;
    /// An input asks for another signature hash type than ALL.
    SighashType = "sighash-type", stands;
    /// An input comes without its previous transaction.
    NoPreviousTransaction = "no-previous-transaction", stands;
    /// A previous transaction is another one.
    PreviousDiffers = "previous-differs", stands;
    /// An input's stated output is not the real one.
    InputAmountLies = "input-amount-lies", stands;
    /// An input is not a coin of this wallet.
    ForeignInput = "foreign-input", stands;
    /// It does not pay exactly what the instructions say.
    PaymentMissing = "payment-missing", stands;
    /// An output is neither a payment nor change.
    ForeignOutput = "foreign-output", stands;
    /// An output is worth less than the network relays.
    Dust = "dust", stands;
    /// The change goes where nobody would look.
    ChangePath = "change-path", stands;
    /// There is more than one change output.
    TwoChanges = "two-changes", stands;
    /// The outputs are worth more than the inputs.
    Overspent = "overspent", stands;
    /// The fee is over the cap.
    FeeCap = "fee-cap", stands;
    /// The fee rate is over the cap.
    FeeRateCap = "fee-rate-cap", stands;
    /// The instruction was signed in a transaction with another anchor.
    SignedOnce = "signed-once", stands;
    // Preparation, release and what peers say.
    /// The preparation is over, or unknown.
    UnknownTicket = "unknown-ticket", passes;
    /// It counts in another tier by now.
    TierChanged = "tier-changed", passes;
    /// Peers have not confirmed that they remember the intent.
    NotWitnessed = "not-witnessed", passes;
    /// A peer's statement is missing.
    PeerMissing = "peer-missing", passes;
    /// A signature could not be made.
    Signing = "signing", stands;
    /// A signature would have repeated a nonce and told the key.
    NonceRepeated = "nonce-repeated", stands;
    /// The charter names no such peer.
    UnknownPeer = "unknown-peer", stands;
    /// A head is not signed by that peer.
    HeadSignature = "head-signature", stands;
    /// A head's hash has no form.
    HeadForm = "head-form", stands;
    /// The peer told another history before.
    PeerForked = "peer-forked", stands;
    /// The peer was further before.
    PeerBehind = "peer-behind", stands;
    /// The peer's heads come too fast.
    TooManyHeads = "too-many-heads", passes;
    /// The nonce has no form.
    Nonce = "nonce", stands;
    /// The challenge is too long.
    Challenge = "challenge", stands;
    /// The transaction's identifier has no form.
    Txid = "txid", stands;
    /// Too many attestations.
    AttestationCount = "attestation-count", stands;
    // Keys.
    /// The wallet's key is closed.
    KeyInactive = "key-inactive", passes;
    /// The activation has too few signatures left.
    SignaturesUsedUp = "signatures-used-up", passes;
    /// The activation asks for more than the charter allows.
    ActivationCaps = "activation-caps", stands;
    /// A younger activation was carried out.
    ActivationOlder = "activation-older", stands;
    /// No key quorum allows a key to be opened now.
    NotAuthorised = "not-authorised", stands;
    /// The key is out of use.
    KeySuspended = "key-suspended", stands;
    /// The key cannot move that way.
    KeyMove = "key-move", stands;
    /// The step is a ceremony at the signer's machine.
    LocalStep = "local-step", stands;
    /// The person may not hold or use what opens keys here.
    K3Holder = "k3-holder", stands;
    /// The sealed file cannot be opened with this, or was changed.
    Sealing = "sealing", stands;
    /// The sealed file is another one than the journal knows.
    SealingKey = "sealing-key", stands;
    /// The device, its key or its signature is not what it must be.
    Device = "device", stands;
    /// The device was pulled out, or failed.
    DeviceGone = "device-gone", passes;
    /// The PIN is wrong, a default one or locked.
    DevicePin = "device-pin", stands;
    /// A person's name has no form.
    Person = "person", stands;
    // Ceremonies.
    /// The instruction is for another step.
    Step = "step", stands;
    /// There is no seed for this, or it is in no state for it.
    Seed = "seed", stands;
    /// It is not the seed that the journal names.
    SeedDiffers = "seed-differs", stands;
    /// The seed is of another house or network.
    SeedForeign = "seed-foreign", stands;
    /// There are too many accounts.
    Account = "account", stands;
    /// The random source failed.
    Random = "random", stands;
    /// A source of randomness gives the same again and again.
    SourceStuck = "source-stuck", stands;
    /// A source of randomness is uneven.
    SourceUneven = "source-uneven", stands;
    /// Rolls are the digits 1 to 6.
    DiceForm = "dice-form", stands;
    /// There are too few rolls.
    DiceFew = "dice-few", stands;
    /// A face comes too often or too seldom.
    DiceUneven = "dice-uneven", stands;
    /// A face comes too many times in a row.
    DiceRun = "dice-run", stands;
    /// The rolls repeat themselves.
    DicePattern = "dice-pattern", stands;
    /// A part of the ceremony cannot be read.
    EntropyForm = "entropy-form", stands;
    /// A party is missing.
    EntropyMissing = "entropy-missing", stands;
    /// A party revealed something else than it committed to.
    EntropyLie = "entropy-lie", stands;
    /// A party revealed for other commitments.
    EntropyOrder = "entropy-order", stands;
    /// Somebody has revealed already.
    EntropyRevealed = "entropy-revealed", stands;
    /// The commitments do not belong together.
    EntropyParties = "entropy-parties", stands;
    /// Shares are missing.
    ShareMissing = "share-missing", stands;
    /// Shares are of several sets.
    ShareMixed = "share-mixed", stands;
    /// A share is mistyped or damaged.
    ShareDamaged = "share-damaged", stands;
    /// Shares are of another network.
    ShareNetwork = "share-network", stands;
    /// Somebody would hold what must be apart.
    BackupHolder = "backup-holder", stands;
    /// A share would overwrite a file.
    BackupFile = "backup-file", stands;
    /// The plan of the backup contradicts itself.
    BackupPlan = "backup-plan", stands;
    /// The shares do not bring the seed back.
    BackupUnproven = "backup-unproven", stands;
    /// The instruction stands for another ceremony than the one that is asked for.
    HeldBefore = "held-before", stands;
    /// The signer's name was used before.
    RestoreName = "restore-name", stands;
    /// The charter knows no such signer.
    RestoreSigner = "restore-signer", stands;
    /// The transcript contradicts itself.
    Transcript = "transcript", stands;
    /// A part of the transcript is not signed.
    TranscriptUnsigned = "transcript-unsigned", stands;
    /// The transcript differs from the charter.
    TranscriptCharter = "transcript-charter", stands;
    /// The movement of the medium names too little.
    Medium = "medium", stands;
    /// A second person is missing.
    SecondPerson = "second-person", stands;
    /// The page cannot be made.
    Page = "page", stands;
    /// What opens keys could not be made or used.
    Opening = "opening", stands;
    /// The file could not be sealed.
    Seal = "seal", stands;
    /// The directory cannot be used.
    Directory = "directory", stands;
    /// A file cannot be read or written.
    File = "file", passes;
    /// The page could not be printed.
    Print = "print", passes;
    /// The ceremony was stopped.
    Stopped = "stopped", passes;
    // Signers without a network.
    /// This signer is connected by its charter.
    Connected = "connected", stands;
    /// The machine was off, and its clock is not believed.
    Clock = "clock", passes;
    /// What was typed are not the words of this bundle.
    Words = "words", stands;
    /// The bundle asks for signatures.
    Payment = "payment", stands;
    /// The bundle holds nothing to do here.
    Nothing = "nothing", stands;
    /// The answer could not be kept.
    Answer = "answer", passes;
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_one_spelling_and_comes_back_from_it() {
        let spellings: BTreeSet<_> = RefusalCode::ALL.iter().map(RefusalCode::as_str).collect();
        assert_eq!(spellings.len(), RefusalCode::ALL.len());
        for code in RefusalCode::ALL {
            assert_eq!(RefusalCode::from(code.as_str()), *code);
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(code.as_str().bytes().all(plain), "{code}");
        }
    }

    #[test]
    fn a_code_of_a_newer_signer_is_kept_as_text_and_not_tried_again() {
        let code = RefusalCode::from("moon-too-full");
        assert!(matches!(code, RefusalCode::Other(_)) && !code.retry());
        assert_eq!(code.to_string(), "moon-too-full");
    }
}
