use crate::{
    Amount, Asset, CanonicalError, CanonicalObject, CustomerId, Digest, InstructionId, KeyStep, Moment, OperatorId,
    Party, SignerId, WalletId,
};

/// What people decide and signers enforce: a coin moves only through one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Its name, used once.
    pub id: InstructionId,
    /// When it was made (whole seconds).
    pub created: Moment,
    /// From when on nobody may sign it (whole seconds).
    pub expires: Moment,
    /// Version of the charter under which it was made and must be signed.
    pub charter: u64,
    /// What is to be done, and who asks.
    pub body: Body,
}

/// The kinds of instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A customer's coins leave to an address outside. The customer asks.
    CustomerWithdrawal(Payment),
    /// Coins move between our own wallets. An operator asks.
    OperatorTransfer(Transfer),
    /// A latch at the signers is opened. An operator asks, a quorum agrees.
    Unfreeze(Freeze),
    /// An anchor that can no longer exist is released, so that the instruction may be signed in another transaction.
    AnchorRelease {
        /// The operator who asks.
        requester: OperatorId,
        /// The instruction whose anchor is released.
        instruction: InstructionId,
        /// The anchor, as `txid:vout`.
        anchor: String,
    },
    /// A destination enters a customer's address book, to be used after the charter's waiting time. An operator asks, a quorum agrees.
    AddressEntry {
        /// The operator who asks.
        requester: OperatorId,
        /// Whose destination it is.
        customer: CustomerId,
        /// The address in the chain's own notation.
        address: String,
    },
    /// A step in the life of a signer's keys. An operator asks, the key quorum agrees.
    KeyStep(KeyStep),
}

/// A payment to the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Who asks and pays.
    pub customer: CustomerId,
    /// What is paid.
    pub asset: Asset,
    /// From which wallet.
    pub wallet: WalletId,
    /// To which address, in the chain's own notation.
    pub destination: String,
    /// How much arrives, in base units.
    pub amount: Amount,
    /// The most that this instruction may add to a transaction's fee, in base units.
    pub fee_max: Amount,
}

/// A movement between our own wallets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Who asks.
    pub requester: OperatorId,
    /// What is moved.
    pub asset: Asset,
    /// From which wallet.
    pub wallet: WalletId,
    /// To which wallet.
    pub destination_wallet: WalletId,
    /// Derivation index of the destination address in that wallet's receiving branch.
    pub destination_index: u32,
    /// The destination address, in the chain's own notation.
    pub destination: String,
    /// How much arrives, in base units.
    pub amount: Amount,
    /// The most that this instruction may add to a transaction's fee, in base units.
    pub fee_max: Amount,
}

/// The name that stands for every signer in an instruction that opens a latch.
pub const EVERY_SIGNER: &str = "all";

/// Opening a latch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// The operator who asks.
    pub requester: OperatorId,
    /// The signer whose latch is opened, or [`EVERY_SIGNER`].
    pub signer: SignerId,
    /// The latch, by the name that the signer reports, such as `wallet:hot` or `clock`.
    pub latch: String,
    /// Why it may be opened, in a person's words.
    pub reason: String,
}

/// Why bytes are not an instruction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstructionError {
    /// The bytes have no canonical form, or fields are missing or unknown.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// The kind is not known.
    #[error("unknown kind of instruction \"{0}\"")]
    Kind(String),
    /// A field has a value that it cannot have.
    #[error("the field \"{field}\" is wrong: {reason}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A payment of nothing.
    #[error("the amount must be more than zero")]
    NoAmount,
    /// It would expire before it is made.
    #[error("the instruction expires before it was created")]
    ExpiresEarly,
}

/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 512;

const DOMAIN: &[u8] = b"claviger-instruction-v1\n";

impl Instruction {
    /// The word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self.body {
            Body::CustomerWithdrawal(_) => "customer-withdrawal",
            Body::OperatorTransfer(_) => "operator-transfer",
            Body::Unfreeze(_) => "unfreeze",
            Body::AnchorRelease { .. } => "anchor-release",
            Body::AddressEntry { .. } => "address-entry",
            Body::KeyStep(_) => "key-step",
        }
    }

    /// Who asks for it.
    pub fn requester(&self) -> Party {
        match &self.body {
            Body::CustomerWithdrawal(payment) => Party::Customer(payment.customer.clone()),
            Body::OperatorTransfer(transfer) => Party::Operator(transfer.requester.clone()),
            Body::Unfreeze(freeze) => Party::Operator(freeze.requester.clone()),
            Body::AnchorRelease { requester, .. } | Body::AddressEntry { requester, .. } => {
                Party::Operator(requester.clone())
            }
            Body::KeyStep(step) => Party::Operator(step.requester.clone()),
        }
    }

    /// The canonical form (RFC 8785).
    pub fn canonical(&self) -> Vec<u8> {
        let mut object = CanonicalObject::default();
        object.insert("kind", self.kind());
        object.insert("id", &self.id);
        object.insert("created", self.created);
        object.insert("expires", self.expires);
        object.insert("charter", self.charter);
        object.insert("requester", self.requester());
        match &self.body {
            Body::CustomerWithdrawal(payment) => {
                object.insert("asset", payment.asset);
                object.insert("wallet", &payment.wallet);
                object.insert("destination", &payment.destination);
                object.insert("amount", payment.amount);
                object.insert("fee_max", payment.fee_max);
            }
            Body::OperatorTransfer(transfer) => {
                object.insert("asset", transfer.asset);
                object.insert("wallet", &transfer.wallet);
                object.insert("destination_wallet", &transfer.destination_wallet);
                object.insert("destination_index", transfer.destination_index);
                object.insert("destination", &transfer.destination);
                object.insert("amount", transfer.amount);
                object.insert("fee_max", transfer.fee_max);
            }
            Body::Unfreeze(freeze) => {
                object.insert("signer", &freeze.signer);
                object.insert("latch", &freeze.latch);
                object.insert("reason", &freeze.reason);
            }
            Body::AnchorRelease { instruction, anchor, .. } => {
                object.insert("instruction", instruction);
                object.insert("anchor", anchor);
            }
            Body::AddressEntry { customer, address, .. } => {
                object.insert("customer", customer);
                object.insert("address", address);
            }
            Body::KeyStep(step) => step.write(&mut object),
        }
        object.to_bytes()
    }

    /// What approvals are made over: `SHA-256("claviger-instruction-v1\n" || canonical form)`.
    pub fn digest(&self) -> Digest {
        Digest::of(&[DOMAIN, &self.canonical()])
    }

    /// Reads an instruction from its canonical form; any other spelling is refused.
    pub fn from_canonical(bytes: &[u8]) -> Result<Instruction, InstructionError> {
        let mut object = CanonicalObject::from_bytes(bytes)?;
        let kind = object.take("kind")?;
        let requester: Party = parse(&mut object, "requester")?;
        let body = match kind.as_str() {
            "customer-withdrawal" => Body::CustomerWithdrawal(read_payment(&mut object, requester)?),
            "operator-transfer" => Body::OperatorTransfer(read_transfer(&mut object, requester)?),
            "unfreeze" => Body::Unfreeze(Freeze {
                requester: operator(requester)?,
                signer: parse(&mut object, "signer")?,
                latch: object.take("latch")?,
                reason: object.take("reason")?,
            }),
            "anchor-release" => Body::AnchorRelease {
                requester: operator(requester)?,
                instruction: parse(&mut object, "instruction")?,
                anchor: object.take("anchor")?,
            },
            "address-entry" => Body::AddressEntry {
                requester: operator(requester)?,
                customer: parse(&mut object, "customer")?,
                address: object.take("address")?,
            },
            "key-step" => Body::KeyStep(KeyStep::read(&mut object, operator(requester)?)?),
            _ => return Err(InstructionError::Kind(kind)),
        };
        let instruction = Instruction {
            id: parse(&mut object, "id")?,
            created: parse(&mut object, "created")?,
            expires: parse(&mut object, "expires")?,
            charter: parse(&mut object, "charter")?,
            body,
        };
        object.finish()?;
        instruction.check(bytes)?;
        Ok(instruction)
    }

    /// Why it is asked for, in a person's words, where it says so.
    pub fn reason(&self) -> Option<&str> {
        match &self.body {
            Body::Unfreeze(freeze) => Some(&freeze.reason),
            Body::KeyStep(step) => Some(&step.reason),
            _ => None,
        }
    }

    fn check(&self, bytes: &[u8]) -> Result<(), InstructionError> {
        // With a quotation mark in it, the end of a reason could not be seen.
        if self.reason().is_some_and(|reason| reason.len() > REASON_BYTES_MAX || reason.contains('"')) {
            let reason = format!("at most {REASON_BYTES_MAX} bytes, and no quotation marks");
            return Err(InstructionError::Field { field: "reason", reason });
        }
        if self.expires <= self.created {
            return Err(InstructionError::ExpiresEarly);
        }
        if self.amount().is_some_and(Amount::is_zero) {
            return Err(InstructionError::NoAmount);
        }
        // Numbers such as "+1" or "01" parse but are not how this instruction is written.
        if self.canonical() != bytes {
            return Err(CanonicalError::NotCanonical.into());
        }
        Ok(())
    }

    /// The amount that it moves, if it moves coins.
    pub fn amount(&self) -> Option<Amount> {
        match &self.body {
            Body::CustomerWithdrawal(payment) => Some(payment.amount),
            Body::OperatorTransfer(transfer) => Some(transfer.amount),
            Body::Unfreeze(_) | Body::AnchorRelease { .. } | Body::AddressEntry { .. } | Body::KeyStep(_) => None,
        }
    }

    /// The most that it may add to a transaction's fee, if it moves coins.
    pub fn fee_max(&self) -> Option<Amount> {
        match &self.body {
            Body::CustomerWithdrawal(payment) => Some(payment.fee_max),
            Body::OperatorTransfer(transfer) => Some(transfer.fee_max),
            Body::Unfreeze(_) | Body::AnchorRelease { .. } | Body::AddressEntry { .. } | Body::KeyStep(_) => None,
        }
    }

    /// The asset that it moves, if it moves coins.
    pub fn asset(&self) -> Option<Asset> {
        match &self.body {
            Body::CustomerWithdrawal(payment) => Some(payment.asset),
            Body::OperatorTransfer(transfer) => Some(transfer.asset),
            Body::Unfreeze(_) | Body::AnchorRelease { .. } | Body::AddressEntry { .. } | Body::KeyStep(_) => None,
        }
    }

    /// The wallet whose coins it moves, if it moves coins.
    pub fn wallet(&self) -> Option<&WalletId> {
        match &self.body {
            Body::CustomerWithdrawal(payment) => Some(&payment.wallet),
            Body::OperatorTransfer(transfer) => Some(&transfer.wallet),
            Body::Unfreeze(_) | Body::AnchorRelease { .. } | Body::AddressEntry { .. } | Body::KeyStep(_) => None,
        }
    }

    /// The address that it pays, if it moves coins.
    pub fn destination(&self) -> Option<&str> {
        match &self.body {
            Body::CustomerWithdrawal(payment) => Some(&payment.destination),
            Body::OperatorTransfer(transfer) => Some(&transfer.destination),
            Body::Unfreeze(_) | Body::AnchorRelease { .. } | Body::AddressEntry { .. } | Body::KeyStep(_) => None,
        }
    }
}

pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    object: &mut CanonicalObject,
    field: &'static str,
) -> Result<T, InstructionError> {
    object.take(field)?.parse().map_err(|error: T::Err| InstructionError::Field { field, reason: error.to_string() })
}

fn operator(requester: Party) -> Result<OperatorId, InstructionError> {
    match requester {
        Party::Operator(id) => Ok(id),
        Party::Customer(_) => {
            Err(InstructionError::Field { field: "requester", reason: "an operator must ask for this".to_owned() })
        }
    }
}

fn read_payment(object: &mut CanonicalObject, requester: Party) -> Result<Payment, InstructionError> {
    let Party::Customer(customer) = requester else {
        return Err(InstructionError::Field { field: "requester", reason: "a customer must ask for this".to_owned() });
    };
    Ok(Payment {
        customer,
        asset: parse(object, "asset")?,
        wallet: parse(object, "wallet")?,
        destination: object.take("destination")?,
        amount: parse(object, "amount")?,
        fee_max: parse(object, "fee_max")?,
    })
}

fn read_transfer(object: &mut CanonicalObject, requester: Party) -> Result<Transfer, InstructionError> {
    Ok(Transfer {
        requester: operator(requester)?,
        asset: parse(object, "asset")?,
        wallet: parse(object, "wallet")?,
        destination_wallet: parse(object, "destination_wallet")?,
        destination_index: parse(object, "destination_index")?,
        destination: object.take("destination")?,
        amount: parse(object, "amount")?,
        fee_max: parse(object, "fee_max")?,
    })
}
