//! The filters against a reader of their programs that is not the kernel's, and each of them at work on a thread of its own.

use std::collections::BTreeSet;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;

use proptest::prelude::*;
use seccompiler::sock_filter;

use super::*;

const PID: u32 = 4_321;
/// What a filter is given: `struct seccomp_data` of seccomp(2): number, architecture, instruction pointer, six arguments.
const DATA_BYTES: usize = 64;
/// AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64 of linux/audit.h; of i386.
const AUDIT: u32 = if cfg!(target_arch = "x86_64") { 0xC000_003E } else { 0xC000_00B7 };
const AUDIT_I386: u32 = 0x4000_0003;
/// Answers, from linux/seccomp.h: the upper half says what, the lower half is the error's number. Strictest first.
const KILL: u32 = 0x8000_0000;
const ALLOW: u32 = 0x7FFF_0000;
const fn errno(errno: Errno) -> u32 {
    0x0005_0000 | errno as u32
}
const NOT_THERE: u32 = errno(Errno::ENOSYS);
const REFUSED: u32 = errno(Errno::EPERM);

fn data(audit: u32, call: c_long, arguments: [u64; 6]) -> [u8; DATA_BYTES] {
    let mut data = [0; DATA_BYTES];
    data[..4].copy_from_slice(&u32::try_from(call).unwrap().to_ne_bytes());
    data[4..8].copy_from_slice(&audit.to_ne_bytes());
    for (place, argument) in data[16..].chunks_exact_mut(8).zip(arguments) {
        place.copy_from_slice(&argument.to_ne_bytes());
    }
    data
}

/// Runs a program of classic BPF (bpf(4) of FreeBSD; the part that linux/filter.h allows in seccomp and that is used here).
fn run(program: &[sock_filter], data: &[u8; DATA_BYTES]) -> u32 {
    let (mut at, mut a) = (0, 0_u32);
    loop {
        let step = &program[at];
        at += 1;
        let jump = |yes: bool| usize::from(if yes { step.jt } else { step.jf });
        match step.code {
            0x20 => {
                let place = usize::try_from(step.k).unwrap();
                a = u32::from_ne_bytes(data[place..place + 4].try_into().unwrap());
            }
            0x05 => at += usize::try_from(step.k).unwrap(),
            0x15 => at += jump(a == step.k),
            0x25 => at += jump(a > step.k),
            0x35 => at += jump(a >= step.k),
            0x54 => a &= step.k,
            0x06 => return step.k,
            code => panic!("instruction {code:#x}"),
        }
    }
}

/// What all three say together: the kernel takes the strictest answer, and of equal ones that of the newest filter.
fn answer_for(audit: u32, call: c_long, arguments: [u64; 6]) -> u32 {
    let data = data(audit, call, arguments);
    let answers = programs(PID).unwrap().map(|program| run(&program, &data));
    let rank = |answer: &u32| match answer & 0xFFFF_0000 {
        KILL => 0,
        0x0005_0000 => 1,
        ALLOW => 2,
        other => panic!("answer {other:#x}"),
    };
    answers.into_iter().rev().min_by_key(rank).unwrap()
}

fn answer(call: c_long, arguments: [u64; 6]) -> u32 {
    answer_for(AUDIT, call, arguments)
}

fn listed() -> BTreeSet<c_long> {
    let mut all: BTreeSet<c_long> = tables::allowed().into_iter().collect();
    all.extend(tables::fatal());
    all.extend(rules::refused(PID).unwrap().keys());
    all
}

#[test]
fn each_call_stands_in_one_list() {
    let lists = [tables::allowed(), tables::fatal(), [tables::REFUSED, tables::REFUSED_OLD].concat()];
    let count: usize = lists.iter().map(Vec::len).sum();
    assert_eq!(listed().len(), count);
}

#[test]
fn every_call_is_answered_as_its_list_says() {
    let conditional: BTreeSet<c_long> =
        rules::refused(PID).unwrap().iter().filter(|(_, cases)| !cases.is_empty()).map(|(call, _)| *call).collect();
    for call in 0..1_024 {
        let expected = match call {
            call if tables::fatal().contains(&call) => KILL,
            call if tables::REFUSED.contains(&call) || tables::REFUSED_OLD.contains(&call) => REFUSED,
            call if conditional.contains(&call) => continue,
            call if tables::allowed().contains(&call) => ALLOW,
            _ => NOT_THERE,
        };
        assert_eq!(answer(call, [0; 6]), expected, "call {call}");
        assert_eq!(answer(call, [u64::MAX; 6]), expected, "call {call}");
        assert_eq!(answer_for(AUDIT_I386, call, [0; 6]), KILL, "call {call} by the numbers of i386");
    }
    // The other numbering of x86_64 (x32) sets this bit.
    assert_eq!(answer(0x4000_0000 | libc::SYS_openat, [0; 6]), NOT_THERE);
}

#[test]
fn arguments_are_looked_at() {
    let n = |value: i32| u64::from(value.cast_unsigned());
    let upper = 0xDEAD_0000_0000_0000;
    let thread = n(libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD);
    let exec = n(libc::PROT_READ | libc::PROT_EXEC);
    let (socket, tcp) = (n(libc::SOL_SOCKET), n(libc::IPPROTO_TCP));
    let cut = n(libc::O_TRUNC);
    for (what, call, arguments, expected) in [
        ("a thread", libc::SYS_clone, [thread, 0, 0, 0, 0, 0], ALLOW),
        ("a process", libc::SYS_clone, [n(libc::SIGCHLD), 0, 0, 0, 0, 0], REFUSED),
        ("a process, as posix_spawn makes it", libc::SYS_clone, [n(libc::CLONE_VM | libc::CLONE_VFORK); 6], REFUSED),
        ("a thread with a network", libc::SYS_clone, [thread | n(libc::CLONE_NEWNET), 0, 0, 0, 0, 0], REFUSED),
        ("clone3, whose flags cannot be seen", libc::SYS_clone3, [0; 6], NOT_THERE),
        ("abort", libc::SYS_tgkill, [u64::from(PID), 4_322, 6, 0, 0, 0], ALLOW),
        ("a signal to another", libc::SYS_tgkill, [1, 1, 9, 0, 0, 0], REFUSED),
        ("reading a limit", libc::SYS_prlimit64, [0, 4, 0, 0x7000, 0, 0], ALLOW),
        ("setting a limit", libc::SYS_prlimit64, [0, 4, 0x7000, 0, 0, 0], REFUSED),
        ("setting a limit, far up", libc::SYS_prlimit64, [0, 4, 0x7000_0000_0000, 0, 0, 0], REFUSED),
        ("another's limit", libc::SYS_prlimit64, [1, 4, 0, 0x7000, 0, 0], REFUSED),
        ("a thread's name", libc::SYS_prctl, [n(libc::PR_SET_NAME), 0, 0, 0, 0, 0], ALLOW),
        ("dumpable", libc::SYS_prctl, [n(libc::PR_SET_DUMPABLE), 1, 0, 0, 0, 0], REFUSED),
        ("dumpable, with rubbish above", libc::SYS_prctl, [upper | n(libc::PR_SET_DUMPABLE), 1, 0, 0, 0, 0], REFUSED),
        ("memory", libc::SYS_mmap, [0, 4_096, n(libc::PROT_READ | libc::PROT_WRITE), 0, 0, 0], ALLOW),
        ("code", libc::SYS_mmap, [0, 4_096, exec, 0, 0, 0], REFUSED),
        ("code, later", libc::SYS_mprotect, [0, 4_096, exec, 0, 0, 0], REFUSED),
        ("an owner for signals", libc::SYS_fcntl, [3, n(libc::F_SETOWN), 1, 0, 0, 0], REFUSED),
        ("a lock", libc::SYS_fcntl, [3, n(libc::F_SETLK), 1, 0, 0, 0], ALLOW),
        ("typing into the terminal", libc::SYS_ioctl, [0, 0x5412, 1, 0, 0, 0], REFUSED),
        ("opening to write anew", libc::SYS_openat, [0, 0, n(libc::O_WRONLY) | cut, 0, 0, 0], ALLOW),
        ("opening to cut off", libc::SYS_openat, [0, 0, n(libc::O_RDONLY) | cut, 0, 0, 0], REFUSED),
        ("a Unix pair", libc::SYS_socketpair, [n(libc::AF_UNIX), 1, 0, 0, 0, 0], ALLOW),
        ("another pair", libc::SYS_socketpair, [n(libc::AF_TIPC), 1, 0, 0, 0, 0], REFUSED),
        ("an answer", libc::SYS_sendto, [3, 0x1000, 5, n(libc::MSG_NOSIGNAL), 0, 0], ALLOW),
        ("a letter to an address", libc::SYS_sendto, [3, 0x1000, 5, 0, 0x7000_0000_0000, 16], REFUSED),
        ("a letter on opening", libc::SYS_sendto, [3, 0x1000, 5, n(libc::MSG_FASTOPEN), 0, 0], REFUSED),
        ("no delay", libc::SYS_setsockopt, [3, tcp, n(libc::TCP_NODELAY), 0, 0, 0], ALLOW),
        ("a time limit", libc::SYS_setsockopt, [3, socket, n(libc::SO_RCVTIMEO), 0, 0, 0], ALLOW),
        ("opening with the first write", libc::SYS_setsockopt, [3, tcp, 30, 0, 0, 0], REFUSED),
        ("a filter", libc::SYS_setsockopt, [3, socket, n(libc::SO_ATTACH_FILTER), 0, 0, 0], REFUSED),
        ("another level", libc::SYS_setsockopt, [3, 0, n(libc::TCP_NODELAY), 0, 0, 0], REFUSED),
    ] {
        assert_eq!(answer(call, arguments), expected, "{what}");
    }
}

proptest! {
    #[test]
    fn what_no_list_names_is_not_there(call in 0_i64..0x1_0000_0000, arguments: [u64; 6]) {
        prop_assume!(!listed().contains(&call));
        prop_assert_eq!(answer(call, arguments), NOT_THERE);
    }
}

/// Filters hold for the thread that asks: this one ends with them.
fn behind_the_filters<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let behind = move || {
        raise().unwrap();
        work()
    };
    thread::spawn(behind).join().unwrap()
}

#[test]
fn t05_seccomp_alone_stops_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    TcpStream::connect(address).unwrap();
    let tries = behind_the_filters(move || {
        let refused = |error: io::Error| error.raw_os_error();
        [
            TcpStream::connect(address).map(drop).unwrap_err(),
            UdpSocket::bind("127.0.0.1:0").map(drop).unwrap_err(),
            TcpListener::bind("127.0.0.1:0").map(drop).unwrap_err(),
            std::os::unix::net::UnixDatagram::unbound().map(drop).unwrap_err(),
        ]
        .map(refused)
    });
    assert_eq!(tries, [Some(Errno::EPERM as i32); 4]);
}

#[test]
fn a_second_filter_is_refused() {
    let error = behind_the_filters(|| raise().unwrap_err());
    // The first of the three is refused, and its end is the kernel's word.
    let WallError::Seccomp(Error::Prctl(error) | Error::Seccomp(error)) = error else { panic!("{error}") };
    assert_eq!(error.raw_os_error(), Some(Errno::EPERM as i32));
}
