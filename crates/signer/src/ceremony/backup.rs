//! Backup: the seed as shares, of which an agreed number brings it back, each for one person (SLIP-0039).
//!
//! What is trusted: that holders keep their shares apart. What a share's theft buys: nothing, while fewer than agreed are stolen.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use shares::{RandomError, Share, split_one_group};
use types::{OperatorId, Step};
use zeroize::Zeroizing;

use super::sheet::{self, Facts};
use super::{Begun, Bench, Done, Random, Unlock, causes, file_error, held_before, same_seed, stop, sync_directory};
use crate::life::Ceremony;
use crate::refusal::{Code, Refused};
use crate::seed::Seed;
use crate::vault::{Vault, open_seed};

/// The iteration exponent of shares: they carry no passphrase, so there is nothing to slow down.
const EXPONENT: u8 = 0;
/// How often a set is made anew when its number is that of an earlier one.
const TRIES: usize = 64;
/// How a file ends that no record speaks of yet.
const UNFINISHED: &str = "unfinished";

/// Where a share goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file with words.
    Words(PathBuf),
    /// A file with a page to be printed (PDF).
    Page(PathBuf),
    /// A page through a pipe, never a file.
    Printer,
}

/// Somebody who is to keep a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub name: OperatorId,
    /// Where the share goes.
    pub to: Destination,
    /// Where it is kept, in words; may be empty.
    pub place: String,
    /// The number of the seal of its envelope; may be empty.
    pub seal: String,
}

/// A backup that is to be made.
pub struct Plan<'a> {
    /// How many shares restore the seed.
    pub threshold: u8,
    /// Who keeps one each.
    pub holders: &'a [Holder],
    /// Draws a page.
    pub page: &'a mut Page<'a>,
    /// Takes a page and returns when it is printed.
    pub print: &'a mut Print<'a>,
    /// Randomness.
    pub random: &'a mut Random<'a>,
}

/// Draws a share's page.
pub type Page<'a> = dyn FnMut(&Facts, &Share) -> Result<Zeroizing<Vec<u8>>, Refused> + 'a;
/// Prints a page.
pub type Print<'a> = dyn FnMut(&OperatorId, &[u8]) -> Result<(), Refused> + 'a;

/// Makes a backup, and says what was recorded.
///
/// # Errors
/// `backup-plan`, `backup-holder`, `backup-file`, `seed`, `k3-holder`, `sealing`, `file`, `held-before`, `backup-unproven`, and those of
/// the quorum.
pub fn hold(bench: &mut Bench<'_>, plan: &mut Plan<'_>, unlock: &mut Unlock<'_>) -> Result<Done, Refused> {
    check(bench, plan)?;
    let id = match bench.begin(Step::Backup)? {
        Begun::Now(id, _) => id,
        Begun::Before(held) => return finish_before(bench, plan, held),
    };
    bench.core.check_seed()?;
    for path in plan.holders.iter().filter_map(path) {
        if path.exists() {
            let reason = format!("{} is there already; a share is never overwritten", path.display());
            return Err(Refused::new(Code::BackupFile, reason));
        }
    }
    clear(bench, plan.holders)?;
    let network = bench.core.network();
    let (envelope, key) = bench.open(Vault::Seed, unlock)?;
    let seed = open_seed(&envelope, &key, network)?;
    drop(key);
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let fingerprint = seed.fingerprint(&secp).map_err(|error| Refused::new(Code::Seed, error.to_string()))?.to_string();
    if bench.core.seed_name().is_none_or(|name| name.name != fingerprint) {
        return Err(Refused::new(Code::SeedDiffers, "what is sealed is not the seed that the journal names"));
    }
    let shares = split(bench, plan, seed.expose())?;
    let set = shares.first().map_or(0, Share::identifier);
    // A crash from here on leaves unfinished files, on the holders' media, of a set that no record speaks of. The next try removes
    // them; whoever gives the backup up destroys the media.
    for (number, (holder, share)) in (1..).zip(plan.holders.iter().zip(&shares)) {
        let facts = Facts {
            signer: bench.core.id().to_string(),
            network,
            fingerprint: fingerprint.clone(),
            set,
            number,
            count: u8::try_from(plan.holders.len()).unwrap_or(u8::MAX),
            threshold: plan.threshold,
            holder: holder.name.to_string(),
            created: bench.now.whole_seconds(),
        };
        match &holder.to {
            Destination::Words(path) => write(&unfinished(path, set), facts.text(share).as_bytes(), bench)?,
            Destination::Page(path) => write(&unfinished(path, set), &(plan.page)(&facts, share)?, bench)?,
            Destination::Printer => (plan.print)(&holder.name, &(plan.page)(&facts, share)?)?,
        }
        bench.done("share-out")?;
    }
    prove(plan, &shares, seed.expose())?;
    drop(shares);
    drop(seed);
    bench.done("proven")?;
    let detail = detail(plan, set, &fingerprint);
    let by = bench.actor(&id);
    bench.core.finish_step(&id, Step::Backup, &detail, Vec::new(), &by, bench.now)?;
    bench.done("recorded")?;
    // A crash here leaves whole shares under unfinished names, and the record: the same command finishes.
    finish(bench, plan.holders, set)?;
    Ok(Done::now(detail))
}

/// The record is there, so the shares are whole, perhaps under their unfinished names: what is missing is the last step. Then they
/// are looked at where they lie: who calls this may mean another backup, and a medium may be gone.
fn finish_before(bench: &mut Bench<'_>, plan: &Plan<'_>, held: Ceremony) -> Result<Done, Refused> {
    let own = bench.core.seed_name().map(|name| name.name).unwrap_or_default();
    let planned = set_of(&held.detail).map(|set| (set, detail(plan, set, &own)));
    let Some((set, _)) = planned.filter(|(_, detail)| *detail == held.detail) else {
        return Err(held_before(&held.detail, "these holders, places or numbers are others"));
    };
    finish(bench, plan.holders, set)?;
    let mut shares = Vec::new();
    let mut pages = 0_usize;
    for holder in plan.holders {
        let Some(place) = path(holder) else { continue };
        if !place.exists() {
            let reason = format!(
                "{} is not there: {} has it by now, or it is lost; `rehearse` tries the shares wherever they are",
                place.display(),
                holder.name
            );
            return Err(Refused::new(Code::BackupFile, reason));
        }
        if matches!(holder.to, Destination::Page(_)) {
            pages += 1;
            continue;
        }
        let share = sheet::read(place)?.0;
        if share.identifier() != set {
            let reason = format!("{} is a share of set {}, not of set {set}", place.display(), share.identifier());
            return Err(Refused::new(Code::BackupFile, reason));
        }
        shares.push(share);
    }
    let mut found = format!("{} shares were read, {pages} pages are there", shares.len());
    if plan.holders.iter().any(|holder| path(holder).is_none()) {
        found.push_str(", what was printed is not seen from here: `rehearse` tries it");
    }
    if shares.len() >= usize::from(plan.threshold) {
        for chosen in choices(&shares, plan.threshold)? {
            let bytes = shares::combine(&chosen, b"").map_err(|_| unproven())?;
            let seed = Seed::from_bytes(&bytes, bench.core.network()).map_err(|_| unproven())?;
            if !same_seed(bench.core, &seed)?.1 {
                return Err(unproven());
            }
        }
        found.push_str(", and they bring this signer's seed back");
    }
    Ok(Done::before(held, found))
}

fn path(holder: &Holder) -> Option<&PathBuf> {
    match &holder.to {
        Destination::Words(path) | Destination::Page(path) => Some(path),
        Destination::Printer => None,
    }
}

/// The name of a share of a set that no record speaks of yet, or whose last step is missing.
fn unfinished(path: &Path, set: u16) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{set}.{UNFINISHED}"));
    path.with_file_name(name)
}

/// Removes what stopped tries left at these places: shares of sets that no record speaks of, and so of no backup.
fn clear(bench: &Bench<'_>, holders: &[Holder]) -> Result<(), Refused> {
    let recorded: BTreeSet<u16> = sets(bench.core).collect();
    for path in holders.iter().filter_map(path) {
        let directory = path.parent().filter(|one| !one.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for entry in fs::read_dir(directory).map_err(file_error(directory))? {
            let left = entry.map_err(file_error(directory))?.path();
            let text = left.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let set = text.strip_prefix(&name).and_then(|rest| rest.strip_prefix('.'));
            let set = set.and_then(|rest| rest.strip_suffix(UNFINISHED)).and_then(|rest| rest.strip_suffix('.'));
            let Some(set) = set.and_then(|set| set.parse().ok()) else { continue };
            if recorded.contains(&set) {
                let reason =
                    format!("{} is of a recorded backup: give that backup's command again first", left.display());
                return Err(Refused::new(Code::BackupFile, reason));
            }
            fs::remove_file(&left).map_err(file_error(&left))?;
        }
    }
    Ok(())
}

/// Who may keep what.
fn check(bench: &Bench<'_>, plan: &Plan<'_>) -> Result<(), Refused> {
    let count = plan.holders.len();
    if plan.threshold < 2 || usize::from(plan.threshold) > count || count > usize::from(shares::MEMBERS_MAX) {
        let most = shares::MEMBERS_MAX;
        let reason = format!("{} of {count} shares: ask for at least two, and have at most {most}", plan.threshold);
        return Err(Refused::new(Code::BackupPlan, reason));
    }
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for holder in plan.holders {
        if !names.insert(&holder.name) {
            return Err(Refused::new(Code::BackupHolder, format!("{} would keep two shares", holder.name)));
        }
        if bench.core.custodians().contains(&holder.name) {
            let reason = format!("{} administers this machine and must not keep a share of its seed", holder.name);
            return Err(Refused::new(Code::BackupHolder, reason));
        }
        if path(holder).is_some_and(|path| !paths.insert(path)) {
            return Err(Refused::new(Code::BackupFile, "two shares would go into one file"));
        }
        if path(holder).is_some_and(|path| inside(path, bench.directory)) {
            let reason = format!("{}'s share would lie in the signer's own directory", holder.name);
            return Err(Refused::new(Code::BackupFile, reason));
        }
        let clean = |text: &str| text.len() <= 64 && !text.chars().any(|one| one.is_control() || one == ';');
        if !clean(&holder.place) || !clean(&holder.seal) {
            let reason = "a place and a seal have at most 64 bytes, without control characters and semicolons";
            return Err(Refused::new(Code::BackupPlan, reason));
        }
    }
    Ok(())
}

fn inside(path: &Path, directory: &Path) -> bool {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (parent.canonicalize(), directory.canonicalize()) {
        (Ok(parent), Ok(directory)) => parent.starts_with(directory),
        _ => false,
    }
}

/// A set whose number no earlier one of this signer has.
fn split(bench: &Bench<'_>, plan: &mut Plan<'_>, seed: &[u8]) -> Result<Vec<Share>, Refused> {
    let taken: BTreeSet<u16> = sets(bench.core).collect();
    let count = u8::try_from(plan.holders.len()).unwrap_or(u8::MAX);
    for _ in 0..TRIES {
        let random = &mut *plan.random;
        let mut source = |bytes: &mut [u8]| random(bytes).map_err(|_| RandomError);
        let shares = split_one_group(seed, b"", EXPONENT, true, plan.threshold, count, &mut source)
            .map_err(|error| Refused::new(Code::BackupPlan, causes(&error)))?;
        if shares.first().is_some_and(|share| !taken.contains(&share.identifier())) {
            return Ok(shares);
        }
    }
    Err(Refused::new(Code::Random, "the random source gives the same set again and again"))
}

/// Sets of shares that the journal speaks of.
pub(crate) fn sets(core: &crate::core::Core) -> impl Iterator<Item = u16> {
    let made = |one: &&crate::life::Ceremony| one.step == Step::Backup.as_str() || one.step == Step::Restore.as_str();
    core.ceremonies().iter().filter(made).filter_map(|one| set_of(&one.detail))
}

/// The set that a record's text begins with.
pub(crate) fn set_of(detail: &str) -> Option<u16> {
    detail.strip_prefix("set ")?.split_once(':')?.0.parse().ok()
}

fn detail(plan: &Plan<'_>, set: u16, fingerprint: &str) -> String {
    let one = |holder: &Holder| {
        let form = match holder.to {
            Destination::Words(_) => "file",
            Destination::Page(_) => "page",
            Destination::Printer => "print",
        };
        let mut text = format!("{} ({form}", holder.name);
        if !holder.place.is_empty() {
            text.push_str(&format!(", kept at {}", holder.place));
        }
        if !holder.seal.is_empty() {
            text.push_str(&format!(", seal {}", holder.seal));
        }
        text.push(')');
        text
    };
    let holders: Vec<String> = plan.holders.iter().map(one).collect();
    format!("set {set}: {} of {} restore seed {fingerprint}; {}", plan.threshold, holders.len(), holders.join("; "))
}

/// Writes a share under its unfinished name, for its owner alone.
fn write(path: &Path, content: &[u8], bench: &mut Bench<'_>) -> Result<(), Refused> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(file_error(path))?;
    stop((bench.watch)("share-created"))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(file_error(path))?;
    sync_directory(path).map_err(file_error(path))
}

fn unproven() -> Refused {
    Refused::new(Code::BackupUnproven, "the shares do not bring the seed back; nothing was recorded now")
}

/// Choices of `threshold` shares, such that every share takes part in one.
fn choices(shares: &[Share], threshold: u8) -> Result<Vec<Vec<Share>>, Refused> {
    let mut choices = Vec::new();
    for first in 0..shares.len() {
        let mut chosen = Vec::new();
        for place in (0..usize::from(threshold)).map(|step| (first + step) % shares.len()) {
            let words = shares.get(place).map(Share::to_words).unwrap_or_default();
            chosen.push(words.parse::<Share>().map_err(|_| unproven())?);
        }
        choices.push(chosen);
    }
    Ok(choices)
}

/// Reads back what was written and brings the seed back from it: every share takes part in some choice of `threshold`.
fn prove(plan: &mut Plan<'_>, shares: &[Share], seed: &[u8]) -> Result<(), Refused> {
    let mut back = Vec::new();
    for (holder, share) in plan.holders.iter().zip(shares) {
        let words = share.to_words();
        let share = match &holder.to {
            Destination::Words(path) => sheet::read(&unfinished(path, share.identifier()))?.0,
            _ => words.parse().map_err(|_| unproven())?,
        };
        if *share.to_words() != *words {
            return Err(unproven());
        }
        back.push(share);
    }
    for chosen in choices(&back, plan.threshold)? {
        if shares::combine(&chosen, b"").map_err(|_| unproven())?.as_slice() != seed {
            return Err(unproven());
        }
    }
    Ok(())
}

/// Gives the shares of a recorded set their names.
fn finish(bench: &mut Bench<'_>, holders: &[Holder], set: u16) -> Result<(), Refused> {
    for path in holders.iter().filter_map(path) {
        let from = unfinished(path, set);
        if !from.exists() {
            continue;
        }
        if path.exists() {
            return Err(Refused::new(Code::BackupFile, format!("{} is there already", path.display())));
        }
        fs::rename(&from, path).and_then(|()| sync_directory(path)).map_err(file_error(path))?;
        bench.done("share-named")?;
    }
    Ok(())
}
