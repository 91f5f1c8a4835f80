//! What an intruder would try. `ok` is his success.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, IoSliceMut, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, abort};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::ptrace;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::sys::signal::kill;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Gid, Pid, Uid, setegid, seteuid, setgid, setgroups, setuid};

use super::{INFINITE, Options};

pub type Attempt = fn(&Options) -> io::Result<String>;

fn ok<T>(_: T) -> String {
    "ok".to_owned()
}

fn sys<T>(outcome: nix::Result<T>) -> io::Result<String> {
    Ok(outcome.map(ok)?)
}

fn other(options: &Options) -> Pid {
    Pid::from_raw(options.get("pid").parse().unwrap())
}

pub const TABLE: &[(&str, Attempt)] = &[
    // Files.
    ("read", |o| fs::read(o.path("outside", "secret")).map(ok)),
    ("list", |o| fs::read_dir(o.path("outside", "")).map(ok)),
    ("write", |o| fs::write(o.path("outside", "new"), "x").map(ok)),
    ("append", |o| OpenOptions::new().append(true).open(o.path("outside", "secret"))?.write_all(b"x").map(ok)),
    ("cut", |o| OpenOptions::new().write(true).truncate(true).open(o.path("outside", "secret")).map(ok)),
    ("make-directory", |o| fs::create_dir(o.path("outside", "directory")).map(ok)),
    ("move-out", |o| fs::rename(o.path("inside", "secret"), o.path("outside", "moved")).map(ok)),
    ("move-in", |o| fs::rename(o.path("outside", "other"), o.path("inside", "other")).map(ok)),
    ("link-in", |o| fs::hard_link(o.path("outside", "secret"), o.path("inside", "linked")).map(ok)),
    ("symlink-in", |o| symlink(o.path("outside", "secret"), o.path("inside", "symlink")).map(ok)),
    ("modes", |o| fs::set_permissions(o.path("outside", "secret"), Permissions::from_mode(0o777)).map(ok)),
    ("remove", |o| fs::remove_file(o.path("outside", "secret")).map(ok)),
    ("read-read-only", |o| fs::read(o.path("read-only", "secret")).map(ok)),
    ("list-read-only", |o| fs::read_dir(o.path("read-only", "")).map(ok)),
    ("write-read-only", |o| fs::write(o.path("read-only", "new"), "x").map(ok)),
    ("remove-read-only", |o| fs::remove_file(o.path("read-only", "secret")).map(ok)),
    // Network.
    ("tcp4", |o| TcpStream::connect(o.get("tcp4")).map(ok)),
    ("tcp6", |o| TcpStream::connect(o.get("tcp6")).map(ok)),
    ("udp", |o| UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", o.get("tcp4")).map(ok)),
    ("unix", |o| UnixStream::connect(o.path("outside", "socket")).map(ok)),
    ("abstract", |o| UnixStream::connect_addr(&SocketAddr::from_abstract_name(o.get("abstract"))?).map(ok)),
    ("bind-tcp", |_| TcpListener::bind("127.0.0.1:0").map(ok)),
    ("bind-unix", |o| UnixListener::bind(o.path("inside", "another")).map(ok)),
    ("lookup", |_| Ok(("localhost", 1).to_socket_addrs().map_or_else(|_| "refused".to_owned(), ok))),
    // Processes.
    ("spawn", |_| Command::new("/bin/true").status().map(ok)),
    ("exec", |_| Err(Command::new("/bin/true").exec())),
    ("trace", |o| sys(ptrace::seize(other(o), ptrace::Options::empty()))),
    ("signal", |o| sys(kill(other(o), None))),
    ("read-vm", |_| {
        let (from, mut to) = ([7_u8; 8], [0_u8; 8]);
        let remote = RemoteIoVec { base: from.as_ptr().addr(), len: from.len() };
        sys(process_vm_readv(Pid::this(), &mut [IoSliceMut::new(&mut to)], &[remote]))
    }),
    ("open-memory", |o| File::open(format!("/proc/{}/mem", o.get("pid"))).map(ok)),
    ("mount", |_| sys(mount(None::<&str>, "/nowhere/at/all", Some("tmpfs"), MsFlags::empty(), None::<&str>))),
    ("unshare", |_| sys(unshare(CloneFlags::CLONE_NEWUSER))),
    ("abort", |_| abort()),
    // Taking walls back.
    ("core-limit", |_| sys(setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY))),
    ("dumpable", |_| sys(prctl::set_dumpable(true))),
    ("unlock", |_| sys(nix::sys::mman::munlockall())),
    // Root.
    ("root", |_| sys(setuid(Uid::from_raw(0)))),
    ("root-for-a-while", |_| sys(seteuid(Uid::from_raw(0)))),
    ("roots-group", |_| sys(setgid(Gid::from_raw(0)))),
    ("roots-group-for-a-while", |_| sys(setegid(Gid::from_raw(0)))),
    ("roots-groups", |_| sys(setgroups(&[Gid::from_raw(0)]))),
    ("lock-limit", |_| {
        let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
        Ok(if hard == INFINITE { "none".to_owned() } else { hard.to_string() })
    }),
];
