//! A further account: its key is derived from the seed, sealed beside the others, and named in the enrolment for the next charter.

use types::{KeyKind, KeyState, Step};

use super::{Begun, Bench, Done, Unlock, file_error, held_before, refused, replace, same_seed};
use crate::core::{key_move, path};
use crate::enrol::{Enrolment, files, read_enrolment};
use crate::life::KeyName;
use crate::refusal::{Code, Refused};
use crate::vault::{Vault, add_account, open_seed};

/// Derives the next account, and gives the enrolment as it then is, with what was recorded.
///
/// # Errors
/// `seed`, `seed-differs`, `k3-holder`, `sealing`, `file`, `held-before`, and those of the quorum.
pub fn derive(bench: &mut Bench<'_>, unlock: &mut Unlock<'_>) -> Result<(Enrolment, Done), Refused> {
    let place = bench.directory.join(files::ENROLMENT);
    let mut enrolment = read_enrolment(bench.directory).map_err(refused)?;
    let id = match bench.begin(Step::DeriveAccount)? {
        Begun::Now(id, _) => id,
        Begun::Before(held) => {
            // The enrolment as it lies there now, and the sealed keys beside it, have to have the account that the record speaks of.
            let sealed = Vault::Accounts.read(bench.directory).map_err(refused)?.items().count();
            let line = |(account, expression): (usize, &String)| words(account, expression);
            if !enrolment.accounts.iter().enumerate().map(line).any(|line| line == held.detail) {
                return Err(held_before(&held.detail, "the enrolment here does not have that account"));
            }
            let found =
                format!("the enrolment has it, among {} accounts, with {sealed} sealed keys", enrolment.accounts.len());
            return Ok((enrolment, Done::before(held, found)));
        }
    };
    bench.core.check_seed()?;
    // Counted by the journal: what an earlier try left in the files is written again, the same.
    let count = bench.core.keys_of(KeyKind::Signature).count();
    let account = u32::try_from(count).map_err(|_| Refused::new(Code::Account, "too many accounts"))?;
    let (envelope, key) = bench.open(Vault::Seed, unlock)?;
    let seed = open_seed(&envelope, &key, bench.core.network())?;
    drop(key);
    if !same_seed(bench.core, &seed)?.1 {
        return Err(Refused::new(
            Code::SeedDiffers,
            "what is sealed is not the seed that the journal and enrolment name",
        ));
    }
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let derived = seed.account(account, &secp).map_err(|error| Refused::new(Code::Seed, error.to_string()))?;
    drop(seed);
    let (secret, expression) = derived;
    let (mut accounts, key) = bench.open(Vault::Accounts, unlock)?;
    add_account(&mut accounts, &key, account, &secret)?;
    drop((secret, key));
    // A crash after this leaves one more sealed key that the journal does not know and nothing uses.
    Vault::Accounts.write(bench.directory, &accounts).map_err(refused)?;
    bench.done("sealed")?;
    // A crash after this leaves an enrolment with an account that the journal does not know; it cannot be activated.
    enrolment.accounts.truncate(count);
    enrolment.accounts.push(expression.clone());
    let json = serde_json::to_vec_pretty(&enrolment).unwrap_or_default();
    replace(&place, &json).map_err(file_error(&place))?;
    bench.done("enrolled")?;
    let name = KeyName::signature(account);
    let mut moves = vec![key_move(&name, None, KeyState::Generated)];
    moves.extend(path(&name, &[KeyState::Generated, KeyState::Inactive]));
    let (detail, by) = (words(count, &expression), bench.actor(&id));
    bench.core.finish_step(&id, Step::DeriveAccount, &detail, moves, &by, bench.now)?;
    bench.done("recorded")?;
    Ok((enrolment, Done::now(detail)))
}

/// What the journal says of an account.
fn words(account: usize, expression: &str) -> String {
    format!("account {account}: {expression}")
}
