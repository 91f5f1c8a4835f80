//! A backup's share as a file: public facts in lines that begin with `#`, then the words (SLIP-0039). Somebody who has only paper
//! types the words; the facts help people not to mix things up, and nothing else: no fact is trusted where the words can tell.

use std::fs;
use std::path::{Path, PathBuf};

use paper::pdf::{SharePage, share_page};
use shares::{Share, ShareError, combine};
use types::{Moment, Network};
use zeroize::Zeroizing;

use super::{causes, file_error};
use crate::refusal::{Code, Refused};

/// Longest file with a share, in bytes.
const SHEET_BYTES_MAX: u64 = 16_384;
const NETWORK: &str = "# network: ";

/// What is said of a share. Public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whose seed.
    pub signer: String,
    /// For which network it was made.
    pub network: Network,
    /// The seed's name.
    pub fingerprint: String,
    /// The set.
    pub set: u16,
    /// Which share of it, from 1.
    pub number: u8,
    /// How many there are.
    pub count: u8,
    /// How many restore the seed.
    pub threshold: u8,
    /// Who keeps it.
    pub holder: String,
    /// When it was made.
    pub created: Moment,
}

impl Facts {
    /// The file's text.
    pub fn text(&self, share: &Share) -> Zeroizing<String> {
        let words = share.to_words();
        let facts = format!(
            "# A share of a seed: keep it secret. {} of {} such shares restore the seed; claviger-signer reads this file.\n\
             # signer: {}\n{NETWORK}{}\n# seed: {}\n# set: {}\n# share: {}\n# holder: {}\n# made: {}\n",
            self.threshold,
            self.count,
            self.signer,
            self.network,
            self.fingerprint,
            self.set,
            self.number,
            self.holder,
            self.created,
        );
        let mut text = Zeroizing::new(String::with_capacity(facts.len() + words.len() + 1));
        text.push_str(&facts);
        text.push_str(&words);
        text.push('\n');
        text
    }
}

/// Shares as they were read from files.
#[derive(Debug)]
pub struct Sheets {
    shares: Vec<Share>,
    paths: Vec<PathBuf>,
    networks: Vec<Network>,
}

impl Sheets {
    /// Reads shares, one in each file.
    ///
    /// # Errors
    /// `file`; `share-damaged`, which names the file and never a word.
    pub fn read(paths: &[PathBuf]) -> Result<Sheets, Refused> {
        let mut sheets = Sheets { shares: Vec::new(), paths: paths.to_vec(), networks: Vec::new() };
        for path in paths {
            let (share, network) = read(path)?;
            sheets.shares.push(share);
            sheets.networks.extend(network);
        }
        Ok(sheets)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.shares.len()
    }

    /// The set of the first.
    pub fn set(&self) -> u16 {
        self.shares.first().map_or(0, Share::identifier)
    }

    /// Brings the secret back.
    ///
    /// # Errors
    /// `share-missing` for too few, `share-mixed` for those of several sets, each naming files.
    pub fn secret(&self) -> Result<Zeroizing<Vec<u8>>, Refused> {
        combine(&self.shares, b"").map_err(|error| self.name(&error))
    }

    /// The network that the files name, or that a person read from paper.
    ///
    /// # Errors
    /// `share-network` when they contradict each other.
    pub fn network(&self, said: Option<Network>) -> Result<Option<Network>, Refused> {
        let mut named = self.networks.iter().copied().chain(said);
        let Some(first) = named.next() else { return Ok(None) };
        match named.find(|other| *other != first) {
            Some(other) => Err(Refused::new(
                Code::ShareNetwork,
                format!("one share is of a seed for {first}, another for {other}"),
            )),
            None => Ok(Some(first)),
        }
    }

    fn name(&self, error: &ShareError) -> Refused {
        let file = |place: usize| {
            let path = place.checked_sub(1).and_then(|place| self.paths.get(place));
            path.map_or_else(|| format!("share {place}"), |path| path.display().to_string())
        };
        let mixed = |text: String| Refused::new(Code::ShareMixed, text);
        match error {
            ShareError::Empty => {
                Refused::new(Code::ShareMissing, "name the files with the shares: --share FILE for each")
            }
            ShareError::TooFew(_) => Refused::new(Code::ShareMissing, error.to_string()),
            ShareError::Mixed { share, other, parameter } => {
                mixed(format!("{} is not of the same backup as {}: another {parameter}", file(*share), file(*other)))
            }
            ShareError::SamePlace { share, other } => {
                mixed(format!("{} has the place of {} but another content", file(*share), file(*other)))
            }
            ShareError::StrayShare(share) => mixed(format!("{} contradicts the other shares", file(*share))),
            _ => mixed(causes(error)),
        }
    }
}

/// Reads one share and the network that its file names.
pub(super) fn read(path: &Path) -> Result<(Share, Option<Network>), Refused> {
    let damaged = |reason: String| Refused::new(Code::ShareDamaged, format!("{}: {reason}", path.display()));
    let length = fs::metadata(path).map_err(file_error(path))?.len();
    if length > SHEET_BYTES_MAX {
        return Err(damaged("too long for a share".to_owned()));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(file_error(path))?);
    let network = text.lines().find_map(|line| line.strip_prefix(NETWORK)).map(str::parse).transpose();
    let network = network.map_err(|_| damaged("it names a network that is not known".to_owned()))?;
    // Has its full length from the start: no copy of words stays behind.
    let mut words = Zeroizing::new(String::with_capacity(text.len() + 1));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        words.push_str(line);
        words.push(' ');
    }
    let share = words.parse::<Share>().map_err(|error| damaged(causes(&error)))?;
    Ok((share, network))
}

/// What stands on a page for its holder.
const INSTRUCTIONS: [&str; 4] = [
    "Check that every word can be read. Show the page to nobody, and copy it nowhere: no photograph, no scan, no message.",
    "Put it into an envelope that shows when it is opened, note the number of its seal here and in the journal, and keep it where \
     you said.",
    "Never keep it with another share of the same set, and never where the signer's machine stands.",
    "When you are called to rehearse or to restore, bring it sealed. Type the words, or let a camera without a network read the code.",
];

/// Draws the page of a share (PDF).
///
/// # Errors
/// `page`.
pub fn page(facts: &Facts, share: &Share) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let text = share.to_words();
    let words: Vec<&str> = text.split(' ').collect();
    let page = SharePage {
        title: &format!("Share of the seed of signer {}", facts.signer),
        holder: &facts.holder,
        set: &facts.set.to_string(),
        number: facts.number.into(),
        count: facts.count.into(),
        threshold: facts.threshold.into(),
        created: &facts.created.to_string(),
        signer: &facts.signer,
        network: &facts.network.to_string(),
        words: &words,
        notes: &[("Fingerprint of the seed", &facts.fingerprint)],
        instructions: &INSTRUCTIONS,
    };
    share_page(&page).map_err(|error| Refused::new(Code::Page, causes(&error)))
}
