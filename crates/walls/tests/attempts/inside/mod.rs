//! The process inside: raises the walls as it is told, tries, and says what came of it, a line for each attempt.

mod attempts;
pub mod labour;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use walls::{LandlockRule, MemoryRule, Walls, drop_privileges};

/// What the test asks for.
pub struct Options {
    values: BTreeMap<String, String>,
    tcp: Option<TcpListener>,
    unix: Option<UnixListener>,
}

impl Options {
    pub fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    pub fn path(&self, directory: &str, name: &str) -> PathBuf {
        PathBuf::from(self.get(directory)).join(name)
    }
}

/// A line for the test.
fn say(name: &str, what: &str) {
    println!("{name}: {what}");
    io::stdout().flush().unwrap();
}

pub fn run(arguments: &[String]) -> ExitCode {
    let (options, attempts): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|text| text.contains('='));
    let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let values = options.into_iter().filter_map(pair).collect();
    let mut options = Options { values, tcp: None, unix: None };
    if let Err(error) = prepare(&mut options) {
        say("walls", &format!("error {}", chain(error.as_ref())));
        return ExitCode::FAILURE;
    }
    for name in attempts {
        let attempt = attempts::TABLE.iter().chain(labour::TABLE).find(|(known, _)| known == name);
        let Some((_, attempt)) = attempt else { panic!("no attempt {name}") };
        say(name, &attempt(&options).unwrap_or_else(|error| error_line(&error)));
    }
    ExitCode::SUCCESS
}

fn error_line(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| format!("error {error}"), |errno| format!("errno {errno}"))
}

fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

/// As a program would start, with what the test wants to be different.
fn prepare(options: &mut Options) -> Result<(), Box<dyn Error>> {
    if options.get("listen") == "yes" {
        options.tcp = Some(TcpListener::bind("127.0.0.1:0")?);
        options.unix = Some(UnixListener::bind(options.path("inside", "control"))?);
    }
    if options.get("threads") == "early" {
        thread::spawn(thread::park);
    }
    if !options.get("user").is_empty() {
        drop_privileges(options.get("user"))?;
    }
    if !options.get("memlock").is_empty() {
        let limit = options.get("memlock").parse()?;
        setrlimit(Resource::RLIMIT_MEMLOCK, limit, limit)?;
    }
    // As generous with cores as the system lets us be, so that it is the walls that forbid them.
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, hard, hard)?;
    prctl::set_dumpable(true)?;
    if !options.get("hide-landlock").is_empty() {
        hide_landlock(options.get("hide-landlock").parse()?)?;
    }
    if options.get("threads") == "two" {
        thread::spawn(thread::park);
    }
    let _left_open = leave_open(options)?;
    if options.get("walls") == "down" {
        say("walls", "down");
        return Ok(());
    }
    let report = walls(options).raise()?;
    say("walls", &format!("up {report}"));
    Ok(())
}

fn walls(options: &Options) -> Walls {
    let mut walls = Walls {
        read_write: vec![options.get("inside").into()],
        read_only: vec![options.get("read-only").into()],
        listen_port: options.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok()).map(|address| address.port()),
        memory: if options.get("memory") == "locked" { MemoryRule::Locked } else { MemoryRule::MaySwap },
        landlock: if options.get("landlock") == "if-there" { LandlockRule::IfThere } else { LandlockRule::Required },
    };
    if !options.get("port").is_empty() {
        walls.listen_port = options.get("port").parse().ok();
    }
    if !options.get("more").is_empty() {
        walls.read_write.push(options.get("more").into());
    }
    walls
}

/// What a kernel without Landlock answers (ENOSYS), or one where it is not enabled (EOPNOTSUPP).
fn hide_landlock(errno: u32) -> Result<(), Box<dyn Error>> {
    let rules = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
    let arch = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), arch)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(apply_filter(&program)?)
}

/// Sockets that a careless program would still have.
fn leave_open(options: &Options) -> io::Result<Box<dyn std::any::Any>> {
    Ok(match options.get("open") {
        "udp" => Box::new(UdpSocket::bind("127.0.0.1:0")?),
        "connection" => Box::new(TcpStream::connect(options.get("tcp4"))?),
        "listener" => Box::new(TcpListener::bind("127.0.0.1:0")?),
        _ => Box::new(()),
    })
}

pub const INFINITE: u64 = RLIM_INFINITY;
