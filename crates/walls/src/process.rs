//! Core dumps, the swap, new privileges: the walls of one system call each.

use std::fs;
use std::io;

use libc::rlim_t;
use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use crate::{Memory, WallError};

/// Address space that must be left below the limit once everything is locked: stacks of the connections' threads (2 MiB each)
/// and the heap. A limit that is reached later would make a thread, or an allocation, fail at a time when nobody looks.
const HEADROOM_BYTES: u64 = 128 << 20;
const STATUS: &str = "/proc/self/status";
const TASKS: &str = "/proc/self/task";

/// How many threads run.
pub fn threads() -> Result<usize, WallError> {
    Ok(fs::read_dir(TASKS).map_err(|error| WallError::Proc(TASKS, error))?.count())
}

/// Landlock and seccomp hold for the thread that asks, and for those that it starts.
pub fn alone() -> Result<(), WallError> {
    match threads()? {
        1 => Ok(()),
        more => Err(WallError::Threads(more)),
    }
}

/// One line of `/proc/self/status`, without its name.
pub fn status(name: &str) -> Result<String, WallError> {
    let text = fs::read_to_string(STATUS).map_err(|error| WallError::Proc(STATUS, error))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
        .ok_or_else(|| WallError::Proc(STATUS, io::Error::new(io::ErrorKind::InvalidData, name.to_owned())))
}

/// The limit keeps files from being written; the flag also holds where dumps go to a program, and keeps other processes of the
/// same user from reading the memory.
pub fn no_core_dumps() -> Result<(), WallError> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .and_then(|()| prctl::set_dumpable(false))
        .map_err(|error| WallError::CoreDumps(error.into()))
}

pub fn no_new_privileges() -> Result<(), WallError> {
    prctl::set_no_new_privs().map_err(|error| WallError::NewPrivileges(error.into()))
}

/// Locks all pages, those of today and of tomorrow. Pages are locked when they are first used (MCL_ONFAULT), so that a stack of
/// megabytes does not fill memory with zeros.
pub fn lock_memory() -> Result<Memory, WallError> {
    let all =
        MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|error| memory(0, error))?;
    // With a limit of nothing only CAP_IPC_LOCK locks, and where that is, no limit counts later either.
    setrlimit(Resource::RLIMIT_MEMLOCK, 0, hard).map_err(|error| memory(hard, error))?;
    let privileged = mlockall(all);
    setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard).map_err(|error| memory(hard, error))?;
    if privileged.is_ok() {
        return Ok(Memory::Locked);
    }
    if hard != RLIM_INFINITY && hard < address_space()?.saturating_add(HEADROOM_BYTES) {
        return Err(memory(hard, Errno::ENOMEM));
    }
    mlockall(all).map_err(|error| memory(hard, error))?;
    Ok(Memory::Locked)
}

fn memory(hard: rlim_t, error: Errno) -> WallError {
    WallError::Memory { limit_bytes: Some(hard).filter(|hard| *hard != RLIM_INFINITY), source: error.into() }
}

/// Bytes of address space in use: what a limit is compared with.
fn address_space() -> Result<u64, WallError> {
    let kib = status("VmSize")?.trim_end_matches("kB").trim().parse::<u64>();
    let kib = kib.map_err(|error| WallError::Proc(STATUS, io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Ok(kib.saturating_mul(1024))
}

/// The walls of this file stand.
pub fn check() -> Result<(), WallError> {
    if getrlimit(Resource::RLIMIT_CORE) != Ok((0, 0)) || prctl::get_dumpable() != Ok(false) {
        return Err(WallError::NotInForce("cores can be dumped"));
    }
    if setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY).is_ok() || prctl::set_dumpable(true).is_ok() {
        return Err(WallError::NotInForce("core dumps can be allowed again"));
    }
    if prctl::get_no_new_privs() != Ok(true) {
        return Err(WallError::NotInForce("new privileges can be had"));
    }
    Ok(())
}
