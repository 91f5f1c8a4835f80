//! Where an attempt takes place: directories, what lies outside, and the process inside.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use landlock::{ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _};
use nix::unistd::{Uid, User};

/// A user that every system has, and that owns nothing.
pub const NOBODY: &str = "nobody";

pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Whether this kernel has Landlock, asked without the crate's code.
pub fn landlock_here() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

/// A directory inside the walls, one that may be read, and one outside with a secret.
pub struct Room {
    _all: tempfile::TempDir,
    pub inside: PathBuf,
    pub read_only: PathBuf,
    pub outside: PathBuf,
}

impl Room {
    pub fn new() -> Room {
        let all = tempfile::tempdir().unwrap();
        fs::set_permissions(all.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let [inside, read_only, outside] = ["inside", "read-only", "outside"].map(|name| all.path().join(name));
        for directory in [&inside, &read_only, &outside] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("secret"), "secret").unwrap();
        }
        fs::write(outside.join("other"), "other").unwrap();
        Room { _all: all, inside, read_only, outside }
    }

    /// The same with a directory inside that belongs to `user`.
    pub fn of(user: &str) -> Room {
        let room = Room::new();
        let account = User::from_name(user).unwrap().unwrap();
        for path in [room.inside.clone(), room.inside.join("secret")] {
            chown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw())).unwrap();
        }
        room
    }

    /// Starts the process: `options` as `name=value`, then the attempts by name.
    pub fn start(&self, options: &[&str], attempts: &[&str]) -> Inside {
        let path = |name: &str, path: &Path| format!("{name}={}", path.display());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("inside")
            .args([path("inside", &self.inside), path("read-only", &self.read_only), path("outside", &self.outside)])
            .args(options)
            .args(attempts)
            .current_dir(&self.inside)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Inside { child, input, output }
    }

    /// Starts it, lets it end, and says what came of it.
    pub fn run(&self, options: &[&str], attempts: &[&str]) -> Outcome {
        let mut inside = self.start(options, attempts);
        let mut lines = BTreeMap::new();
        while let Some(line) = inside.line() {
            let (name, what) = line.split_once(": ").unwrap_or_else(|| panic!("the line {line}"));
            lines.insert(name.to_owned(), what.to_owned());
        }
        Outcome { lines, status: inside.end() }
    }
}

/// The process inside, running.
pub struct Inside {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Inside {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says; `None` when it has ended.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.strip_suffix('\n').map(str::to_owned)
    }

    /// What comes after `name: `, which must be the next line but for the walls' own.
    pub fn says(&mut self, name: &str) -> String {
        loop {
            let line = self.line().unwrap_or_else(|| panic!("it ended without saying {name}"));
            match line.split_once(": ") {
                Some((said, what)) if said == name => return what.to_owned(),
                Some(("walls", what)) if what.starts_with("up") || what == "down" => {}
                _ => panic!("it said {line} instead of {name}"),
            }
        }
    }

    /// Lets it go on from where it waits.
    pub fn go_on(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    /// Waits for its end.
    pub fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

/// What a process said, and how it ended.
pub struct Outcome {
    lines: BTreeMap<String, String>,
    pub status: ExitStatus,
}

impl Outcome {
    /// What came of an attempt: `ok`, `errno N`, other words, or nothing when the process ended before it could say.
    pub fn of(&self, attempt: &str) -> &str {
        self.lines.get(attempt).map_or("", String::as_str)
    }

    /// The walls' report, or their error.
    pub fn walls(&self) -> &str {
        self.of("walls")
    }

    #[track_caller]
    pub fn all(&self, attempts: &[&str], expected: &str) {
        for attempt in attempts {
            assert_eq!(self.of(attempt), expected, "{attempt}; walls: {}", self.walls());
        }
    }
}
