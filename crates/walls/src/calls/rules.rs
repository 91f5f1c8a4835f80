//! What is refused: the cases of calls that are allowed otherwise, and [`tables::REFUSED`].
//!
//! A filter sees numbers and addresses, never what an address leads to. Numbers that the kernel reads as `int` are compared by
//! their lower half, as the kernel does; the upper half is the caller's to fill with anything.

use std::ffi::c_int;

use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use super::{Rules, tables};

type Outcome<T> = Result<T, BackendError>;

/// `fcntl`: not F_SETOWN and its like, by which the kernel sends signals.
const FILE_CONTROLS: &[c_int] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
    libc::F_OFD_GETLK,
    libc::F_OFD_SETLK,
    libc::F_OFD_SETLKW,
];
/// `ioctl`: what std asks of sockets and of standard output; not TIOCSTI, which types into the terminal.
const DEVICE_CONTROLS: &[libc::Ioctl] =
    &[libc::FIONBIO, libc::FIOCLEX, libc::FIONCLEX, libc::FIONREAD, libc::TCGETS, libc::TIOCGWINSZ];
/// `prctl`: reading, and names of threads and of memory.
const PROCESS_CONTROLS: &[c_int] = &[
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_GET_DUMPABLE,
    libc::PR_GET_NO_NEW_PRIVS,
    libc::PR_GET_SECCOMP,
    libc::PR_SET_VMA,
];
/// `setsockopt` for any socket.
const SOCKET_OPTIONS: &[c_int] = &[libc::SO_RCVTIMEO, libc::SO_SNDTIMEO, libc::SO_KEEPALIVE, libc::SO_LINGER];
/// `setsockopt` for TCP; not TCP_FASTOPEN_CONNECT, nor the kernel's own protocols over TCP.
const TCP_OPTIONS: &[c_int] = &[
    libc::TCP_NODELAY,
    libc::TCP_KEEPIDLE,
    libc::TCP_KEEPINTVL,
    libc::TCP_KEEPCNT,
    libc::TCP_USER_TIMEOUT,
    libc::TCP_QUICKACK,
];
/// Namespaces that `clone` can make.
const NAMESPACES: &[c_int] = &[
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Every call that is refused, with the cases in which it is.
pub fn refused(pid: u32) -> Outcome<Rules> {
    let mut rules = Rules::new();
    for call in tables::REFUSED.iter().chain(tables::REFUSED_OLD) {
        rules.insert(*call, Vec::new());
    }
    processes(&mut rules, pid)?;
    memory(&mut rules)?;
    files(&mut rules)?;
    sockets(&mut rules)?;
    Ok(rules)
}

fn processes(rules: &mut Rules, pid: u32) -> Outcome<()> {
    // Only threads, and no namespaces.
    let mut clone = vec![all([bits(0, libc::CLONE_THREAD, 0)])?];
    for namespace in NAMESPACES {
        clone.push(all([bits(0, *namespace, *namespace)])?);
    }
    rules.insert(libc::SYS_clone, clone);
    // Signals to oneself: abort().
    rules.insert(libc::SYS_tgkill, vec![unless(0, &[u64::from(pid)])?]);
    // Limits can be read, one's own.
    rules.insert(libc::SYS_prlimit64, vec![unless(0, &[0, u64::from(pid)])?, all([address(2)])?]);
    rules.insert(libc::SYS_prctl, vec![unless(0, &numbers(PROCESS_CONTROLS))?]);
    Ok(())
}

/// No new code: what runs was there when the walls went up.
fn memory(rules: &mut Rules) -> Outcome<()> {
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![all([bits(2, libc::PROT_EXEC, libc::PROT_EXEC)])?]);
    }
    Ok(())
}

fn files(rules: &mut Rules) -> Outcome<()> {
    rules.insert(libc::SYS_fcntl, vec![unless(1, &numbers(FILE_CONTROLS))?]);
    let controls: Vec<u64> = DEVICE_CONTROLS.iter().map(|control| u64::from(*control as u32)).collect();
    rules.insert(libc::SYS_ioctl, vec![unless(1, &controls)?]);
    // Opening for reading and cutting off in one: before its third version, Landlock takes that for reading.
    let cut = |flags| all([bits(flags, libc::O_ACCMODE | libc::O_TRUNC, libc::O_RDONLY | libc::O_TRUNC)]);
    rules.insert(libc::SYS_openat, vec![cut(2)?]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, vec![cut(1)?]);
    Ok(())
}

fn sockets(rules: &mut Rules) -> Outcome<()> {
    rules.insert(libc::SYS_socketpair, vec![unless(0, &numbers(&[libc::AF_UNIX]))?]);
    // No address, and no connection on the way (TCP Fast Open): only to whom the socket is connected already.
    let fast = all([bits(3, libc::MSG_FASTOPEN, libc::MSG_FASTOPEN)])?;
    rules.insert(libc::SYS_sendto, vec![all([address(4)])?, fast]);
    let levels = [libc::SOL_SOCKET, libc::IPPROTO_TCP];
    let mut options = vec![unless(1, &numbers(&levels))?];
    for (level, known) in levels.into_iter().zip([SOCKET_OPTIONS, TCP_OPTIONS]) {
        let mut case = vec![condition(1, Dword, Eq, number(level))];
        case.extend(numbers(known).into_iter().map(|option| condition(2, Dword, Ne, option)));
        options.push(all(case)?);
    }
    rules.insert(libc::SYS_setsockopt, options);
    Ok(())
}

/// A flag or number of a C header as the lower half of an argument.
const fn number(value: c_int) -> u64 {
    value as u32 as u64
}

fn numbers(values: &[c_int]) -> Vec<u64> {
    values.iter().copied().map(number).collect()
}

fn condition(argument: u8, length: SeccompCmpArgLen, is: SeccompCmpOp, value: u64) -> Outcome<SeccompCondition> {
    SeccompCondition::new(argument, length, is, value)
}

/// The bits under a mask are these.
fn bits(argument: u8, mask: c_int, value: c_int) -> Outcome<SeccompCondition> {
    condition(argument, Dword, MaskedEq(number(mask)), number(value))
}

/// An address is given.
fn address(argument: u8) -> Outcome<SeccompCondition> {
    condition(argument, Qword, Ne, 0)
}

/// A case in which every condition holds.
fn all(conditions: impl IntoIterator<Item = Outcome<SeccompCondition>>) -> Outcome<SeccompRule> {
    SeccompRule::new(conditions.into_iter().collect::<Outcome<Vec<_>>>()?)
}

/// The case that an argument is none of these.
fn unless(argument: u8, values: &[u64]) -> Outcome<SeccompRule> {
    all(values.iter().map(|value| condition(argument, Dword, Ne, *value)))
}
