use crate::instruction::parse;
use crate::{CanonicalObject, EVERY_SIGNER, InstructionError, OperatorId, SignerId, WalletId};

/// What is done with a signer's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A wallet's signature key may be opened, for a time and a number of signatures.
    Activate,
    /// A wallet's signature key never signs again.
    SuspendKey,
    /// The seed is put out of use.
    SuspendSeed,
    /// The seed is taken into use again.
    ResumeSeed,
    /// A further account's key is derived from the seed.
    DeriveAccount,
    /// The seed is written to shares that several people keep.
    Backup,
    /// Shares are tried: together they are the seed, and nobody sees it.
    Rehearse,
    /// Seeds and keys are sealed anew under another sealing key; addresses stay.
    Reseal,
    /// A seed comes back from shares, on a new signer.
    Restore,
}

impl Step {
    /// Every step.
    pub const ALL: [Step; 9] = [
        Step::Activate,
        Step::SuspendKey,
        Step::SuspendSeed,
        Step::ResumeSeed,
        Step::DeriveAccount,
        Step::Backup,
        Step::Rehearse,
        Step::Reseal,
        Step::Restore,
    ];

    /// The word in an instruction.
    pub const fn as_str(self) -> &'static str {
        match self {
            Step::Activate => "activate",
            Step::SuspendKey => "suspend-key",
            Step::SuspendSeed => "suspend-seed",
            Step::ResumeSeed => "resume-seed",
            Step::DeriveAccount => "derive-account",
            Step::Backup => "backup",
            Step::Rehearse => "rehearse",
            Step::Reseal => "reseal",
            Step::Restore => "restore",
        }
    }

    /// Whether the step is about one wallet's key.
    pub const fn names_wallet(self) -> bool {
        matches!(self, Step::Activate | Step::SuspendKey)
    }

    /// Whether the step takes effect by being handed to the signer; the others are done by people at its own machine.
    pub const fn remote(self) -> bool {
        matches!(self, Step::Activate | Step::SuspendKey | Step::SuspendSeed | Step::ResumeSeed)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Step {
    type Err = InstructionError;

    fn from_str(text: &str) -> Result<Step, InstructionError> {
        Step::ALL.into_iter().find(|step| step.as_str() == text).ok_or_else(|| InstructionError::Field {
            field: "step",
            reason: format!("\"{text}\" is none of {}", Step::ALL.map(Step::as_str).join(", ")),
        })
    }
}

/// The word that stands where a step is about no wallet.
pub const EVERY_WALLET: &str = "none";

/// A step in the life of a signer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStep {
    /// The operator who asks.
    pub requester: OperatorId,
    /// The signer, or [`EVERY_SIGNER`].
    pub signer: SignerId,
    /// What is done.
    pub step: Step,
    /// Whose key; none where the step is not about one wallet's.
    pub wallet: Option<WalletId>,
    /// How long an activation lasts, in seconds from when the signer hears of it; 0 for other steps.
    pub seconds: u64,
    /// How many signatures an activation allows, one for each input; 0 for other steps.
    pub signatures: u64,
    /// Why, in a person's words.
    pub reason: String,
}

impl KeyStep {
    pub(crate) fn write(&self, object: &mut CanonicalObject) {
        object.insert("signer", &self.signer);
        object.insert("step", self.step);
        object.insert("wallet", self.wallet.as_ref().map_or(EVERY_WALLET, WalletId::as_str));
        object.insert("seconds", self.seconds);
        object.insert("signatures", self.signatures);
        object.insert("reason", &self.reason);
    }

    pub(crate) fn read(object: &mut CanonicalObject, requester: OperatorId) -> Result<KeyStep, InstructionError> {
        let wallet = object.take("wallet")?;
        let wrong = |field, reason: &str| Err(InstructionError::Field { field, reason: reason.to_owned() });
        let step = KeyStep {
            requester,
            signer: parse(object, "signer")?,
            step: parse(object, "step")?,
            wallet: if wallet == EVERY_WALLET {
                None
            } else {
                Some(wallet.parse().map_err(|error: crate::IdError| InstructionError::Field {
                    field: "wallet",
                    reason: error.to_string(),
                })?)
            },
            seconds: parse(object, "seconds")?,
            signatures: parse(object, "signatures")?,
            reason: object.take("reason")?,
        };
        if step.step.names_wallet() != step.wallet.is_some() {
            return wrong("wallet", "an activation or a key's suspension names one wallet, every other step \"none\"");
        }
        let bounded = step.seconds > 0 && step.signatures > 0;
        if bounded != (step.step == Step::Activate) || (step.seconds > 0) != (step.signatures > 0) {
            return wrong(
                "seconds",
                "an activation has a number of seconds and of signatures, every other step 0 and 0",
            );
        }
        Ok(step)
    }

    /// What is done, as the beginning of the one sentence that people read.
    pub(crate) fn sentence(&self) -> String {
        let at = if self.signer.as_str() == EVERY_SIGNER {
            "every signer that has it".to_owned()
        } else {
            format!("signer {}", self.signer)
        };
        let wallet = self.wallet.as_ref().map_or(EVERY_WALLET, WalletId::as_str);
        let what = match self.step {
            Step::Activate => format!(
                "Let the key of wallet {wallet} be opened at {at} for {} seconds and {} signatures",
                self.seconds, self.signatures
            ),
            Step::SuspendKey => format!("Suspend the key of wallet {wallet} at {at} for ever"),
            Step::SuspendSeed => format!("Suspend the seed at {at}"),
            Step::ResumeSeed => format!("Take the seed at {at} into use again"),
            Step::DeriveAccount => format!("Derive the key of a further account at {at}"),
            Step::Backup => format!("Back up the seed of {at} to shares"),
            Step::Rehearse => format!("Try the shares of the seed of {at}"),
            Step::Reseal => format!("Seal the seed and keys of {at} anew, under another sealing key"),
            Step::Restore => format!("Restore the seed of {at} from shares"),
        };
        format!("{what}, as operator {} asks", self.requester)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Body, Instruction, KeyStep, Moment, Step, sentence};

    fn instruction(reason: &str) -> Instruction {
        Instruction {
            id: "ks-1".parse().unwrap(),
            created: Moment::from_seconds(1_800_000_000),
            expires: Moment::from_seconds(1_800_000_600),
            charter: 3,
            body: Body::KeyStep(KeyStep {
                requester: "oona".parse().unwrap(),
                signer: "all".parse().unwrap(),
                step: Step::Activate,
                wallet: Some("hot".parse().unwrap()),
                seconds: 60,
                signatures: 5,
                reason: reason.to_owned(),
            }),
        }
    }

    #[test]
    fn it_is_read_as_it_is_written_and_the_sentence_names_all_of_it() {
        let one = instruction("the week");
        assert_eq!(Instruction::from_canonical(&one.canonical()), Ok(one.clone()));
        assert_eq!(
            sentence(&one),
            "Let the key of wallet hot be opened at every signer that has it for 60 seconds and 5 signatures, as operator oona \
             asks. Instruction ks-1, charter version 3, valid until 2027-01-15T08:10:00Z. Reason given: \"the week\"."
        );
    }

    #[test]
    fn t04_a_reason_cannot_pass_for_the_rest_of_the_sentence() {
        for reason in ["a\". Instruction", "a\u{202e}b", "a\u{200b}b", "a\u{2028}b", "a\nb", &"x".repeat(513)] {
            assert!(Instruction::from_canonical(&instruction(reason).canonical()).is_err(), "{reason:?}");
        }
    }

    #[test]
    fn steps_that_contradict_themselves_are_refused() {
        let change = |edit: &dyn Fn(&mut KeyStep)| {
            let mut one = instruction("x");
            if let Body::KeyStep(step) = &mut one.body {
                edit(step);
            }
            Instruction::from_canonical(&one.canonical())
        };
        assert!(change(&|step| step.wallet = None).is_err());
        assert!(change(&|step| step.seconds = 0).is_err());
        assert!(change(&|step| step.signatures = 0).is_err());
        assert!(change(&|step| step.step = Step::Backup).is_err());
        let backup =
            change(&|step| (step.step, step.wallet, step.seconds, step.signatures) = (Step::Backup, None, 0, 0));
        assert!(backup.is_ok());
    }
}
