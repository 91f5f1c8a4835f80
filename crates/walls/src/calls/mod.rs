//! System calls by seccomp: three filters, of which the strictest answer counts.
//!
//! 1. What only an intruder asks for ends the process at once, and leaves a record in the kernel's log.
//! 2. What a library may try in good faith (a log line over a Unix socket, a child process) is refused with EPERM, as are
//!    calls that are allowed with some arguments only.
//! 3. Of the rest, what [`tables::ALLOWED`] lists passes; anything else, also what later kernels invent, is answered as by
//!    a kernel that lacks it (ENOSYS), which every C library copes with. EPERM there would break it: it asks for `clone3`
//!    first and takes `clone` only if there is none.
//!
//! A call by another architecture's numbers ends the process, too.

mod rules;
mod tables;

use std::collections::BTreeMap;
use std::net::UdpSocket;

use libc::c_long;
use nix::errno::Errno;
use seccompiler::{BpfProgram, Error, SeccompAction, SeccompFilter, SeccompRule, TargetArch, apply_filter};

use crate::WallError;

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// For each call the cases in which a filter's answer is given; no case means always.
type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Puts the filters in force for the calling thread and those that it starts. Returns how many calls are left.
pub fn raise() -> Result<usize, WallError> {
    for program in programs(std::process::id())? {
        apply_filter(&program)?;
    }
    Ok(tables::allowed().len())
}

/// The filters, in the order in which they must be installed: only the last one forbids to install another.
fn programs(pid: u32) -> Result<[BpfProgram; 3], Error> {
    let always = |calls: Vec<c_long>| -> Rules { calls.into_iter().map(|call| (call, Vec::new())).collect() };
    let refused = rules::refused(pid)?;
    let mut known = always(tables::allowed());
    known.extend(always(tables::fatal()));
    known.extend(always(refused.keys().copied().collect()));
    let filter = |rules, mismatch, matching| -> Result<BpfProgram, Error> {
        Ok(SeccompFilter::new(rules, mismatch, matching, ARCH)?.try_into()?)
    };
    let errno = |errno: Errno| SeccompAction::Errno(errno as u32);
    Ok([
        filter(always(tables::fatal()), SeccompAction::Allow, SeccompAction::KillProcess)?,
        filter(known, errno(Errno::ENOSYS), SeccompAction::Allow)?,
        filter(refused, SeccompAction::Allow, errno(Errno::EPERM))?,
    ])
}

/// A socket cannot be made.
pub fn check() -> Result<(), WallError> {
    match UdpSocket::bind(("127.0.0.1", 0)) {
        Err(error) if error.raw_os_error() == Some(Errno::EPERM as i32) => Ok(()),
        _ => Err(WallError::NotInForce("sockets can be made")),
    }
}

#[cfg(test)]
mod tests;
