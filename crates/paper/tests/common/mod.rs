//! Reading pages back with programs that are not ours: poppler's for the text, the places and the picture, rqrr for the codes.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Thirty-three words of SLIP-39's list.
pub const WORDS: [&str; 33] = [
    "academic", "acid", "acne", "acquire", "acrobat", "activity", "actress", "adapt", "adequate", "adjust", "admit",
    "adorn", "adult", "advance", "advocate", "afraid", "again", "agency", "agree", "aide", "aircraft", "airline",
    "airport", "ajar", "alarm", "album", "alcohol", "alien", "alive", "alpha", "already", "alto", "aluminum",
];

/// A box on a page, in points from the upper left corner.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    pub page: usize,
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

/// A word and the box around it.
#[derive(Debug)]
pub struct Word {
    pub text: String,
    pub area: Area,
}

/// A code's text, and the box around its modules.
#[derive(Debug)]
pub struct Code {
    pub text: String,
    pub area: Area,
}

/// Width, height, and one byte of grey for each pixel.
type Picture = (usize, usize, Vec<u8>);

/// A document on disk.
pub struct Printed {
    directory: TempDir,
    path: PathBuf,
}

impl Printed {
    pub fn new(pdf: &[u8]) -> Printed {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("page.pdf");
        std::fs::write(&path, pdf).unwrap();
        Printed { directory, path }
    }

    /// What a program of poppler's says; it must find nothing to complain about.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(self.directory.path()).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}; run ./scripts/setup"));
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaint.is_empty(), "{program}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub fn pages(&self) -> usize {
        let facts = self.run("pdfinfo", &[self.name()]);
        let line = facts.lines().find_map(|line| line.strip_prefix("Pages:")).unwrap();
        line.trim().parse().unwrap()
    }

    pub fn title(&self) -> String {
        let facts = self.run("pdfinfo", &["-enc", "UTF-8", self.name()]);
        facts.lines().find_map(|line| line.strip_prefix("Title:")).unwrap().trim().to_owned()
    }

    /// All text in the order in which it was written, with single spaces.
    pub fn text(&self) -> String {
        let text = self.run("pdftotext", &["-raw", "-enc", "UTF-8", self.name(), "-"]);
        text.split_whitespace().collect::<Vec<&str>>().join(" ")
    }

    pub fn words(&self) -> Vec<Word> {
        let text = self.run("pdftotext", &["-bbox", "-enc", "UTF-8", self.name(), "-"]);
        let (mut page, mut words) = (0, Vec::new());
        for line in text.lines().map(str::trim) {
            page += usize::from(line.starts_with("<page "));
            let Some(rest) = line.strip_prefix("<word ") else { continue };
            let number = |name: &str| -> f32 {
                let (_, value) = rest.split_once(&format!("{name}=\"")).unwrap();
                value.split('"').next().unwrap().parse().unwrap()
            };
            let text = rest.split_once('>').unwrap().1.strip_suffix("</word>").unwrap();
            let text = text
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"")
                .replace("&apos;", "'")
                .replace("&amp;", "&");
            let (left, right) = (number("xMin"), number("xMax"));
            let area = Area { page, left, top: number("yMin"), right, bottom: number("yMax") };
            words.push(Word { text, area });
        }
        words
    }

    /// The code of a share's page, which is below its caption at the right.
    pub fn code(&self) -> Code {
        let caption = self.words().into_iter().find(|word| word.text == "camera").unwrap().area;
        let (left, right) = (caption.right - 180.0, caption.right + 20.0);
        self.codes(&[Area { page: 1, left, top: caption.bottom, right, bottom: caption.bottom + 185.0 }]).remove(0)
    }

    /// The codes in these areas, one in each: a camera is held over one code at a time, and nearer when it reads nothing.
    pub fn codes(&self, areas: &[Area]) -> Vec<Code> {
        let mut found: Vec<Option<Code>> = areas.iter().map(|_| None).collect();
        for dpi in [150, 200, 250, 300] {
            if found.iter().any(Option::is_none) {
                let pictures = self.pictures(dpi);
                let wanted = found.iter_mut().zip(areas).filter(|(code, _)| code.is_none());
                wanted.for_each(|(code, area)| *code = read(&pictures[area.page - 1], *area, f32::from(dpi) / 72.0));
            }
        }
        let unread = || format!("there is a code that is not read: {found:?}");
        assert!(found.iter().all(Option::is_some), "{}", unread());
        found.into_iter().flatten().collect()
    }

    /// What a scanner of so many dots per inch makes of the pages.
    fn pictures(&self, dpi: u16) -> Vec<Picture> {
        let name = format!("at-{dpi}");
        self.run("pdftoppm", &["-gray", "-r", &dpi.to_string(), self.name(), &name]);
        let mut paths: Vec<PathBuf> = std::fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name))
            .collect();
        paths.sort();
        assert_eq!(paths.len(), self.pages());
        paths.iter().map(|path| pgm(&std::fs::read(path).unwrap())).collect()
    }
}

/// The one code in an area of a picture with so many pixels for each point.
fn read((width, height, grey): &Picture, area: Area, pixels: f32) -> Option<Code> {
    let (left, top) = ((area.left * pixels) as usize, (area.top * pixels) as usize);
    let (right, bottom) = ((area.right * pixels) as usize, (area.bottom * pixels) as usize);
    let (right, bottom) = (right.min(*width), bottom.min(*height));
    let pixel = |x: usize, y: usize| grey[(top + y) * width + left + x];
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(right - left, bottom - top, pixel);
    let (code, text) =
        picture.detect_grids().into_iter().find_map(|code| Some((code.bounds, code.decode().ok()?.1)))?;
    let place = |points: [i32; 4], start: usize| {
        let mut all = points.map(|point| (point as f32 + start as f32) / pixels);
        all.sort_by(f32::total_cmp);
        (all[0], all[3])
    };
    let (left, right) = place(code.map(|point| point.x), left);
    let (top, bottom) = place(code.map(|point| point.y), top);
    Some(Code { text, area: Area { page: area.page, left, top, right, bottom } })
}

/// Reads a binary PGM.
fn pgm(bytes: &[u8]) -> Picture {
    let mut heads = Vec::new();
    let mut at = 0;
    while heads.len() < 4 {
        let end = at + bytes[at..].iter().position(u8::is_ascii_whitespace).unwrap();
        heads.push(std::str::from_utf8(&bytes[at..end]).unwrap());
        at = end + 1;
    }
    assert_eq!((heads[0], heads[3]), ("P5", "255"));
    let (width, height) = (heads[1].parse().unwrap(), heads[2].parse().unwrap());
    let grey = bytes[at..].to_vec();
    assert_eq!(grey.len(), width * height);
    (width, height, grey)
}

/// Asserts that all text stands within the margins of a page, that no two words and no word and code overlap.
pub fn nothing_overlaps(printed: &Printed, codes: &[Code]) {
    const MARGIN: f32 = 36.0;
    /// The quiet zone is four modules; no code here has modules below half a point.
    const QUIET: f32 = 2.0;
    let words = printed.words();
    for (place, Word { area, text }) in words.iter().enumerate() {
        let inside = area.left >= MARGIN
            && area.right <= paper::pdf::WIDTH - MARGIN
            && area.top >= MARGIN
            && area.bottom <= paper::pdf::HEIGHT - MARGIN;
        assert!(inside, "{text:?} at {area:?} is outside of the margins");
        for Word { area: other, text: other_text } in &words[place + 1..] {
            // Boxes are as high as the font's highest letters: a quarter of that is air.
            let air = (area.bottom - area.top).min(other.bottom - other.top) / 4.0;
            let apart = apart(area, other, 0.1, air);
            assert!(apart, "{text:?} at {area:?} and {other_text:?} at {other:?} overlap");
        }
        for Code { area: code, .. } in codes {
            assert!(apart(area, code, -QUIET, -QUIET), "{text:?} at {area:?} stands in the code at {code:?}");
        }
    }
}

/// Whether two boxes are apart when they may overlap so much.
fn apart(one: &Area, other: &Area, across: f32, down: f32) -> bool {
    one.page != other.page
        || one.right <= other.left + across
        || other.right <= one.left + across
        || one.bottom <= other.top + down
        || other.bottom <= one.top + down
}
