//! How bundles and answers come in and go out: files, and QR codes that a scanner reads or a terminal shows.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;
use paper::pdf::{BundlePages, bundle_pages};
use paper::qr::{Background, Correction, Qr as Code};
use paper::ur::{Collector, PAPER_FRAGMENT_BYTES, Parts, Received, SCREEN_FRAGMENT_BYTES};
use signer::keys::write_secret;
use signer_wire::{Answer, Bundle, CARRIED_BYTES_MAX};
use types::{Digest, Instruction, sentence, words};

use super::Outcome;

/// Clears the screen and goes to its first place.
const CLEAR: &str = "\x1b[2J\x1b[H";
/// Goes to the screen's first place.
const HOME: &str = "\x1b[H";

/// Where a bundle comes from.
#[derive(Args)]
pub struct Input {
    /// The file.
    #[arg(required_unless_present = "ur", conflicts_with = "ur")]
    file: Option<PathBuf>,
    /// What a scanner of QR codes yields, a line for each, in any order: from this file, or for `-` from standard input.
    #[arg(long, value_name = "FILE")]
    ur: Option<PathBuf>,
}

impl Input {
    /// Reads it; `kind` is what QR codes are expected to hold.
    pub fn read(&self, kind: &str) -> Outcome<Vec<u8>> {
        match (&self.file, &self.ur) {
            (Some(path), _) => read_file(path),
            (None, Some(path)) if path.as_os_str() == "-" => collect(io::stdin().lock(), kind),
            (None, Some(path)) => {
                let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
                collect(BufReader::new(file), kind)
            }
            (None, None) => Err("name a file, or --ur".into()),
        }
    }
}

fn read_file(path: &Path) -> Outcome<Vec<u8>> {
    let length = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    if usize::try_from(length).map_or(true, |length| length > CARRIED_BYTES_MAX) {
        return Err(format!("{} is too long for a bundle or an answer", path.display()).into());
    }
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Puts parts together until the message is whole. What is no part of it is named and passed over.
fn collect(lines: impl BufRead, kind: &str) -> Outcome<Vec<u8>> {
    let mut collector = Collector::new(kind)?;
    for line in lines.lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        match collector.receive(&line) {
            Ok(Received::Whole(bytes)) => return Ok(bytes),
            Ok(Received::NotYet { new: true, progress }) => {
                eprintln!("{} of {} parts", progress.received, progress.needed);
            }
            Ok(_) => {}
            Err(error) => eprintln!("{error}"),
        }
    }
    let had = collector.progress().map_or((0, 0), |progress| (progress.received, progress.needed));
    Err(format!("the message is not whole: {} of {} parts were read; show it for longer", had.0, had.1).into())
}

/// Writes a new file that only its owner can read, and returns when the disk has it.
pub fn write(path: &Path, content: &[u8]) -> Outcome {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let path = folder.join(path.file_name().ok_or("name a file")?);
    write_secret(&path, content).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// `offline qr`.
#[derive(Args)]
pub struct Qr {
    /// A bundle or an answer.
    file: PathBuf,
    /// Show the codes in turn, without end, until Enter or Ctrl-C is pressed. This is what happens without another choice.
    #[arg(long)]
    animate: bool,
    /// Print every code once, one below the other.
    #[arg(long, conflicts_with_all = ["animate", "text"])]
    once: bool,
    /// Print what the codes say instead, a line for each.
    #[arg(long, conflicts_with = "animate")]
    text: bool,
    /// How many codes in a second.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=20))]
    per_second: u64,
    /// The most bytes in one code; fewer make codes that worse cameras read.
    #[arg(long, default_value_t = SCREEN_FRAGMENT_BYTES)]
    bytes: usize,
    /// Draw without colours, on a ground that is `dark` or `light`.
    #[arg(long, value_parser = ["dark", "light"])]
    plain: Option<String>,
    /// Write pages (PDF) to this new file instead.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["animate", "once", "text"])]
    pdf: Option<PathBuf>,
}

/// A bundle or an answer, and what people read of it.
struct Carried {
    bytes: Vec<u8>,
    kind: &'static str,
    digest: Digest,
    title: String,
    sentence: String,
}

impl Carried {
    fn read(path: &Path) -> Outcome<Carried> {
        let bytes = read_file(path)?;
        if let Ok(answer) = Answer::from_bytes(&bytes) {
            let sentence = match &answer.refusal {
                Some(refusal) => format!("Not signed: {} ({})", refusal.reason, refusal.code),
                None => format!("{} signatures for bundle {}", answer.signatures.len(), answer.bundle),
            };
            let title = format!("Answer of signer {}", answer.signer);
            return Ok(Carried { kind: Answer::KIND, digest: answer.digest(), title, sentence, bytes });
        }
        let bundle = Bundle::from_bytes(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        let payment = |wire: &signer_wire::Instruction| Instruction::from_canonical(wire.canonical.as_bytes());
        let payments = bundle.payments.iter().map(payment).collect::<Result<Vec<_>, _>>()?;
        let first = payments.first().map(sentence).unwrap_or_default();
        let sentence = match payments.len() {
            0 | 1 => first,
            count => format!("{first} And {} more.", count - 1),
        };
        let title = format!("Bundle for signer {}", bundle.signer);
        Ok(Carried { kind: Bundle::KIND, digest: bundle.digest(), title, sentence, bytes })
    }

    fn pages(&self) -> Outcome<Vec<u8>> {
        let parts = Parts::new(self.kind, &self.bytes, PAPER_FRAGMENT_BYTES)?;
        let words = words(&self.digest);
        let digest = self.digest.to_string();
        let next = if self.kind == Bundle::KIND {
            "Then: claviger-signer offline sign --data DIRECTORY --ur FILE --out ANSWER --person YOU"
        } else {
            "Then: claviger answer --ur FILE"
        };
        let instructions = [
            "Scan every code into one file, a line for each, in any order.",
            next,
            "Compare the six words above with those that the reading program shows.",
        ];
        let pages = BundlePages {
            title: &self.title,
            sentence: &self.sentence,
            words: &words,
            digest: &digest,
            notes: &[],
            instructions: &instructions,
            parts: &parts,
        };
        Ok(bundle_pages(&pages)?.to_vec())
    }
}

impl Qr {
    /// Shows it.
    pub fn run(self) -> Outcome {
        let carried = Carried::read(&self.file)?;
        if let Some(pdf) = &self.pdf {
            write(pdf, &carried.pages()?)?;
            println!("{}: {}", pdf.display(), words(&carried.digest).join(" "));
            return Ok(());
        }
        let parts = Parts::new(carried.kind, &carried.bytes, self.bytes)?;
        if self.text {
            parts.first_pass().iter().for_each(|part| println!("{part}"));
            return Ok(());
        }
        if self.once {
            let count = parts.needed();
            for (part, number) in parts.first_pass().iter().zip(1..) {
                println!("{}part {number} of {count}\n", self.draw(part)?.as_str());
            }
            return Ok(());
        }
        self.turn(&carried, parts)
    }

    fn draw(&self, part: &str) -> Outcome<String> {
        let code = Code::new(part, Correction::Medium)?;
        let drawn = match self.plain.as_deref() {
            Some("light") => code.to_terminal_plain(Background::Light),
            Some(_) => code.to_terminal_plain(Background::Dark),
            None => code.to_terminal(),
        };
        Ok(drawn.to_string())
    }

    /// Shows one code after the other until somebody presses Enter.
    fn turn(&self, carried: &Carried, parts: Parts) -> Outcome {
        let key = enter();
        let pause = Duration::from_millis(1000 / self.per_second);
        let count = parts.needed();
        let words = words(&carried.digest).join(" ");
        let mut out = io::stdout().lock();
        write!(out, "{CLEAR}")?;
        for (part, number) in parts.zip(1_u64..) {
            let code = self.draw(&part)?;
            write!(out, "{HOME}{code}{}\n{words}\ncode {number}, {count} are enough; Enter ends\n", carried.title)?;
            out.flush()?;
            if !matches!(key.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                break;
            }
        }
        Ok(())
    }
}

/// Says when Enter was pressed. Where nobody can press anything, it never is.
fn enter() -> Receiver<()> {
    let (pressed, key) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        match io::stdin().read_line(&mut line) {
            Ok(bytes) if bytes > 0 => drop(pressed.send(())),
            _ => loop {
                std::thread::park();
            },
        }
    });
    key
}
