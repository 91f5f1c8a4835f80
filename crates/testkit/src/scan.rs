//! Looks for secrets where they should not be: in a process's memory and in files, in the spellings in which they leak.
//!
//! A search that finds nothing says something only beside one that finds: each test that expects no finding first looks for what
//! must be there.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};
use memchr::memmem::Finder;

/// Shorter ones are found by chance.
const NEEDLE_BYTES_MIN: usize = 8;
/// How much of a region is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A secret found in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which of the needles.
    pub needle: usize,
    /// How it is spelled there.
    pub spelling: &'static str,
    /// Where it begins.
    pub address: u64,
    /// What lies there: rights and name, as `/proc/PID/maps` has them; `rw-p [heap]` for instance.
    pub region: String,
}

/// A secret found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFinding {
    /// Which of the needles.
    pub needle: usize,
    /// How it is spelled there.
    pub spelling: &'static str,
    /// The file.
    pub path: PathBuf,
}

struct Spelling {
    needle: usize,
    name: &'static str,
    finder: Finder<'static>,
    length: usize,
    /// Written with letters and digits: line breaks may lie in between.
    text: bool,
}

/// Looks through all memory of a process that can be read at all, its own rights set aside, for each needle in each spelling: raw
/// bytes, reversed (how arithmetic on little-endian machines keeps big-endian numbers), hexadecimal in both cases, base64 in both
/// alphabets at any offset, and as a list of decimal numbers (how JSON has bytes).
///
/// Asks for the rights to trace the process: those of its parent where the system is lenient, root otherwise.
///
/// # Errors
/// A needle of fewer than 8 bytes; a process that is gone or cannot be read; a region that cannot be read though it is there.
pub fn memory_contains(pid: u32, needles: &[&[u8]]) -> io::Result<Vec<Finding>> {
    let spellings = spellings(needles)?;
    let mut memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut findings = Vec::new();
    let mut read = 0;
    for region in regions(pid)? {
        match search(&mut memory, &region, &spellings, &mut findings) {
            Ok(bytes) => read += bytes,
            // The kernel's own pages, and what nobody may read.
            Err(_) if region.name.starts_with("[v") || !region.rights.starts_with('r') => {}
            // It may have been given back in the meantime.
            Err(_) if !regions(pid)?.contains(&region) => {}
            Err(error) => return Err(error),
        }
    }
    if read == 0 { Err(io::Error::other(format!("no memory of process {pid} could be read"))) } else { Ok(findings) }
}

/// Looks through all files below `directory` for each needle in each spelling of [`memory_contains`], text also with white space in
/// between. Links are not followed; pipes, sockets and devices are left out.
///
/// # Errors
/// A needle of fewer than 8 bytes; a file or directory that cannot be read.
pub fn files_contain(directory: &Path, needles: &[&[u8]]) -> io::Result<Vec<FileFinding>> {
    let spellings = spellings(needles)?;
    let mut findings = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                look(&entry.path(), &spellings, &mut findings)?;
            }
        }
    }
    Ok(findings)
}

fn look(path: &Path, spellings: &[Spelling], findings: &mut Vec<FileFinding>) -> io::Result<()> {
    let bytes = fs::read(path)?;
    let dense: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    for spelling in spellings {
        let hay = if spelling.text { &dense } else { &bytes };
        if spelling.finder.find(hay).is_some() {
            findings.push(FileFinding { needle: spelling.needle, spelling: spelling.name, path: path.to_owned() });
        }
    }
    Ok(())
}

fn spellings(needles: &[&[u8]]) -> io::Result<Vec<Spelling>> {
    let mut all = Vec::new();
    for (number, needle) in needles.iter().enumerate() {
        if needle.len() < NEEDLE_BYTES_MIN {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a needle of fewer than 8 bytes is found by chance",
            ));
        }
        let mut add = |name, bytes: &[u8], text| {
            let finder = Finder::new(bytes).into_owned();
            all.push(Spelling { needle: number, name, finder, length: bytes.len(), text });
        };
        add("raw", needle, false);
        add("reversed", &needle.iter().rev().copied().collect::<Vec<_>>(), false);
        let lower: String = needle.iter().map(|byte| format!("{byte:02x}")).collect();
        add("hex", lower.as_bytes(), true);
        add("HEX", lower.to_uppercase().as_bytes(), true);
        let numbers: Vec<String> = needle.iter().map(u8::to_string).collect();
        add("numbers", numbers.join(",").as_bytes(), true);
        for before in 0..3 {
            add("base64", base64(needle, before, Base64Unpadded::encode_string).as_bytes(), true);
            add("base64url", base64(needle, before, Base64UrlUnpadded::encode_string).as_bytes(), true);
        }
    }
    Ok(all)
}

/// The digits of base64 that `needle` alone decides when `before` bytes more than a multiple of three come before it.
fn base64(needle: &[u8], before: usize, encode: fn(&[u8]) -> String) -> String {
    let padded = [&vec![0; before], needle].concat();
    let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    encode(&padded).chars().skip(first).take(end - first).collect()
}

#[derive(PartialEq, Eq)]
struct Region {
    start: u64,
    end: u64,
    rights: String,
    name: String,
}

fn regions(pid: u32) -> io::Result<Vec<Region>> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let read = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let rights = fields.next()?.to_owned();
        Some(Region {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            rights,
            name: fields.skip(3).collect::<Vec<_>>().join(" "),
        })
    };
    let unknown = |line: &str| io::Error::other(format!("/proc/{pid}/maps has the line {line}"));
    text.lines().map(|line| read(line).ok_or_else(|| unknown(line))).collect()
}

/// Searches one region and says how many bytes it read.
fn search(memory: &mut File, region: &Region, all: &[Spelling], findings: &mut Vec<Finding>) -> io::Result<u64> {
    let longest = all.iter().map(|spelling| spelling.length).max().unwrap_or_default();
    let (mut at, mut held, mut chunk) = (region.start, Vec::new(), vec![0; CHUNK_BYTES]);
    memory.seek(SeekFrom::Start(region.start))?;
    while at < region.end {
        let size = usize::try_from(region.end - at).map_or(CHUNK_BYTES, |rest| rest.min(CHUNK_BYTES));
        let part = chunk.get_mut(..size).unwrap_or_default();
        memory.read_exact(part)?;
        let first = at - held.len() as u64;
        held.extend_from_slice(part);
        at += size as u64;
        // What begins in the last bytes is searched with the next chunk, which brings its end.
        let keep = if at < region.end { held.len().min(longest.saturating_sub(1)) } else { 0 };
        let done = held.len() - keep;
        for spelling in all {
            for place in spelling.finder.find_iter(&held).filter(|place| *place < done) {
                findings.push(Finding {
                    needle: spelling.needle,
                    spelling: spelling.name,
                    address: first + place as u64,
                    region: format!("{} {}", region.rights, region.name),
                });
            }
        }
        held.drain(..done);
    }
    Ok(region.end - region.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory of three chunks and a half, in a file; a needle at each end, and one across each border.
    #[test]
    fn needles_across_the_borders_of_chunks_are_found_once() {
        let needle: Vec<u8> = (200..232).collect();
        let mut bytes = vec![0_u8; CHUNK_BYTES * 7 / 2];
        let places = [0, CHUNK_BYTES - 31, 2 * CHUNK_BYTES - 1, 3 * CHUNK_BYTES, bytes.len() - 32];
        for place in places {
            bytes[place..place + 32].copy_from_slice(&needle);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("memory");
        fs::write(&path, &bytes).unwrap();
        let region = Region { start: 0, end: bytes.len() as u64, rights: "rw-p".to_owned(), name: "[heap]".to_owned() };
        let mut findings = Vec::new();
        let all = spellings(&[&needle]).unwrap();
        search(&mut File::open(&path).unwrap(), &region, &all, &mut findings).unwrap();
        let found: Vec<u64> = findings.iter().map(|finding| finding.address).collect();
        assert_eq!(found, places.map(|place| place as u64));
        assert!(findings.iter().all(|finding| finding.spelling == "raw" && finding.region == "rw-p [heap]"));
    }
}
