//! Re-keying: seed and account keys under new sealing keys (K3), held by whom the new slots name. No address changes.
//!
//! Two files change, and the journal says which sealing keys are in use. The record is what counts: before it, the old files are
//! the signer's; after it, the new ones. Whichever stand beside are put right at the next start, see [`crate::vault::settle`].

use std::fs;

use sealing::Envelope;
use types::{KeyKind, KeyState, Step};

use super::{Begun, Bench, Done, Slots, Unlock, file_error, held_before, refused, sync_directory};
use crate::core::{key_move, path};
use crate::life::{Ceremony, KeyName};
use crate::record::KeyMove;
use crate::refusal::{Code, Refused};
use crate::vault::{Vault, random};

/// Seals everything anew, and says what was recorded.
///
/// # Errors
/// `k3-holder`, `sealing`, `sealing-key`, `file`, `held-before`, and those of the quorum.
pub fn hold(bench: &mut Bench<'_>, unlock: &mut Unlock<'_>, slots: &mut Slots<'_>) -> Result<Done, Refused> {
    let id = match bench.begin(Step::Reseal)? {
        Begun::Now(id, _) => id,
        // Opening the signer's directory has put the files right already.
        Begun::Before(held) => return look_again(bench, held),
    };
    let mut moves = Vec::new();
    let mut words = Vec::new();
    for vault in [Vault::Seed, Vault::Accounts] {
        let (old, key) = bench.open(vault, unlock)?;
        let (new, new_key) = old.rekey(&key, slots(vault)?, &mut random).map_err(refused)?;
        bench.core.check_holders(&new)?;
        // A crash before the record leaves new files beside the old ones, under a sealing key that the journal does not know: the
        // next start removes them. Shares of the new slots that were handed out open nothing; their holders destroy them.
        let staged = vault.staged(bench.directory);
        sealing::store::store(&staged, &new).map_err(refused)?;
        bench.done("staged")?;
        let back = sealing::store::load(&staged).map_err(refused)?;
        back.prove(&new_key).map_err(refused)?;
        if back != new || back.items().ne(old.items()) {
            return Err(Refused::new(
                Code::Sealing,
                "the new file is not what was written; the old one is in use as before",
            ));
        }
        words.push(under(vault, &new));
        moves.extend(exchange(&old, &new));
    }
    let detail = words.join("; ");
    let by = bench.actor(&id);
    bench.core.finish_step(&id, Step::Reseal, &detail, moves, &by, bench.now)?;
    bench.done("recorded")?;
    // A crash from here on leaves one or both of the old files in place, under a sealing key that is suspended, with the new ones
    // beside them: the next start gives the new ones the name.
    for vault in [Vault::Seed, Vault::Accounts] {
        let to = bench.directory.join(vault.file());
        fs::rename(vault.staged(bench.directory), &to).and_then(|()| sync_directory(&to)).map_err(file_error(&to))?;
        bench.done("named")?;
    }
    Ok(Done::now(detail))
}

/// Under which key a file is, and who holds it.
fn under(vault: Vault, envelope: &Envelope) -> String {
    format!("{} under {} for {}", vault.purpose(), envelope.k3(), holders(envelope))
}

/// Reads the files as they lie there now: they are under the keys of the record, or it speaks of another time.
fn look_again(bench: &Bench<'_>, held: Ceremony) -> Result<Done, Refused> {
    let mut words = Vec::new();
    for vault in [Vault::Seed, Vault::Accounts] {
        words.push(under(vault, &vault.read(bench.directory).map_err(refused)?));
    }
    let words = words.join("; ");
    if words != held.detail {
        return Err(held_before(&held.detail, &format!("the files are by now: {words}")));
    }
    Ok(Done::before(held, "both files are under these keys, and what was handed out then opens them"))
}

fn holders(envelope: &Envelope) -> String {
    let names: Vec<String> = envelope.holders().iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// The new sealing key comes into use, the old one goes out of it.
fn exchange(old: &Envelope, new: &Envelope) -> Vec<KeyMove> {
    let key = |envelope: &Envelope| KeyName { kind: KeyKind::Sealing, name: envelope.k3().to_string() };
    let mut moves = vec![key_move(&key(new), None, KeyState::Generated)];
    moves.extend(path(&key(new), &[KeyState::Generated, KeyState::InUse]));
    moves.extend(path(&key(old), &[KeyState::InUse, KeyState::Suspended]));
    moves
}
