//! The device that holds a signer's key: what it is, and taking the key to a second one.

use clap::{Args, Subcommand};
use signer::device::DeviceFacts;
use token::{KeyId, KeyKind, Token, TokenError};

use super::Outcome;
use super::token::Place;

/// The name of the key that both devices share while a key is cloned.
const TRANSPORT: &str = "claviger-transport";
/// The name of the key by which the second receives that one.
const RECEPTION: &str = "claviger-reception";

/// `device`.
#[derive(Args)]
pub struct Device {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what a device says of itself, and of a signing key in it.
    Show {
        /// The key: `MODULE:LABEL:KEY[:PINFILE]`; where several tokens have one label, `LABEL#SERIAL`.
        #[arg(long)]
        at: Place,
    },
    /// Take a key that was made for it (`init --device-clone`) to a second device, and seal it in both: it never leaves either again.
    Clone {
        /// The key: `MODULE:LABEL:KEY[:PINFILE]`.
        #[arg(long)]
        from: Place,
        /// Where it goes: `MODULE:LABEL:KEY[:PINFILE]`.
        #[arg(long)]
        to: Place,
    },
    /// End a key's being cloneable, for good.
    Seal {
        /// The key: `MODULE:LABEL:KEY[:PINFILE]`.
        #[arg(long)]
        at: Place,
    },
}

impl Device {
    /// Does what the command line says.
    pub fn run(self) -> Outcome {
        match self.command {
            Command::Show { at } => show(&at.open()?, &at.key),
            Command::Clone { from, to } => clone(&from, &to),
            Command::Seal { at } => {
                let token = at.open()?;
                token.seal(&at.key)?;
                show(&token, &at.key)
            }
        }
    }
}

fn show(token: &Token, id: &KeyId) -> Outcome {
    let (facts, own) = (token.facts(), DeviceFacts::of(token, id));
    println!("device    {}", own.kind());
    println!("serial    {}", facts.serial);
    println!("label     {}", facts.label);
    println!("hardware  {}, {}", facts.hardware, if facts.flags.hardware_slot { "a device" } else { "a program" });
    println!("library   {} {}", facts.library, facts.library_version);
    if facts.flags.pin_tried || facts.flags.officer_pin_tried {
        println!("warning   a wrong PIN was given since the last right one");
    }
    let public = token.public_key(id)?;
    let keys = token.keys()?;
    let key = keys.iter().find(|key| key.key_id().as_ref() == Some(id)).ok_or("the key is not there")?;
    let leaves = match (key.extractable, key.never_extractable) {
        (true, _) => "can leave the device: clone it, then it is sealed",
        (false, true) => "never could leave the device",
        (false, false) => "sealed: cannot leave the device any more",
    };
    println!("key       {id} {}, {}, {leaves}", hex::encode(public), if key.local { "made here" } else { "a clone" });
    Ok(())
}

fn clone(from: &Place, to: &Place) -> Outcome {
    let (source, target) = (from.open()?, to.open()?);
    let (helper, reception): (KeyId, KeyId) = (TRANSPORT.parse()?, RECEPTION.parse()?);
    // What a cloning left that was broken off.
    let clean = || -> Outcome {
        let (transport, reception) = ((&helper, KeyKind::Transport), (&reception, KeyKind::Reception));
        for (token, (id, kind)) in [(&source, transport), (&target, transport), (&target, reception)] {
            match token.destroy(id, kind) {
                Ok(()) | Err(TokenError::KeyMissing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    };
    clean()?;
    let transfer = || -> Outcome {
        // Both devices are here, so that nobody comes between them; far apart, people would have to compare this public key.
        source.create_transport_key(&helper)?;
        let receiver = target.create_reception_key(&reception)?;
        let sent = source.send_transport_key(&helper, &receiver)?;
        target.receive_transport_key(&helper, &reception, &sent)?;
        let wrapped = source.export_wrapped(&from.key, &helper)?;
        target.import_wrapped(&to.key, &helper, &wrapped)?;
        // From here on both have it; a crash leaves helpers that the next cloning removes, and a key that `device seal` seals.
        Ok(source.seal(&from.key)?)
    };
    let transferred = transfer();
    // Also after an error: whoever holds the PIN could send a key to himself with what is left.
    let cleaned = clean();
    transferred?;
    cleaned?;
    show(&source, &from.key)?;
    println!();
    show(&target, &to.key)
}
