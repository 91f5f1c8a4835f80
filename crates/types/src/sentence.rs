use std::fmt::Write as _;

use crate::{Body, EVERY_SIGNER, Instruction};

/// The text in groups of four characters, so that every one of them is read.
pub fn grouped(text: &str) -> String {
    let mut groups = String::with_capacity(text.len() + text.len() / 4);
    for (position, character) in text.chars().enumerate() {
        if position > 0 && position % 4 == 0 {
            groups.push(' ');
        }
        groups.push(character);
    }
    groups
}

/// The one sentence that people read before they approve. It names everything that the instruction decides.
pub fn sentence(instruction: &Instruction) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = match &instruction.body {
        Body::CustomerWithdrawal(payment) => write!(
            text,
            "Pay {} {} for customer {} from wallet {} to {}, with at most {} of network fee",
            payment.amount.to_decimal(payment.asset.decimals()),
            payment.asset.symbol(),
            payment.customer,
            payment.wallet,
            grouped(&payment.destination),
            payment.fee_max.to_decimal(payment.asset.decimals()),
        ),
        Body::OperatorTransfer(transfer) => write!(
            text,
            "Move {} {} from wallet {} to our wallet {} at its address {}: {}, with at most {} of network fee, as operator {} asks",
            transfer.amount.to_decimal(transfer.asset.decimals()),
            transfer.asset.symbol(),
            transfer.wallet,
            transfer.destination_wallet,
            transfer.destination_index,
            grouped(&transfer.destination),
            transfer.fee_max.to_decimal(transfer.asset.decimals()),
            transfer.requester,
        ),
        Body::Unfreeze(freeze) => write!(
            text,
            "Open the latch \"{}\" at {}, as operator {} asks",
            freeze.latch,
            if freeze.signer.as_str() == EVERY_SIGNER {
                "every signer".to_owned()
            } else {
                format!("signer {}", freeze.signer)
            },
            freeze.requester,
        ),
        Body::AnchorRelease { requester, instruction, anchor } => write!(
            text,
            "Let instruction {instruction} be signed without its anchor {anchor}, which can no longer exist, as operator {requester} asks"
        ),
        Body::AddressEntry { requester, customer, address } => write!(
            text,
            "Let customer {customer} be paid at {} from the end of the charter's waiting time on, as operator {requester} asks",
            grouped(address)
        ),
        Body::KeyStep(step) => write!(text, "{}", step.sentence()),
    };
    let _ = write!(
        text,
        ". Instruction {}, charter version {}, valid until {}.",
        instruction.id, instruction.charter, instruction.expires
    );
    // A person's own words stand last and between quotation marks, so that they cannot pass for anything of the above.
    if let Some(reason) = instruction.reason() {
        let _ = write!(text, " Reason given: \"{reason}\".");
    }
    text
}
