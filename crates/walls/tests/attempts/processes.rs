use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

use crate::room::{Room, landlock_here};

const WALLS: &str = "landlock=if-there";

pub fn t05_no_other_program_and_no_other_process() {
    let room = Room::new();
    let mut other = room.start(&["walls=down"], &["wait"]);
    other.says("waiting");
    let pid = format!("pid={}", other.pid());
    let attempts = ["spawn", "signal", "core-limit", "dumpable", "unlock"];
    let open = room.run(&[&pid, "walls=down"], &[&attempts[..], &["open-memory"]].concat());
    open.all(&["spawn", "signal", "dumpable", "unlock"], "ok");
    let walled = room.run(&[&pid, WALLS], &[&attempts[..], &["open-memory"]].concat());
    walled.all(&attempts, "errno 1");
    if landlock_here() {
        walled.all(&["open-memory"], "errno 13");
    }
    other.go_on();
    assert!(other.end().success());
}

pub fn t05_attacks_on_the_kernels_doors_end_the_process() {
    let room = Room::new();
    for attempt in ["exec", "trace", "read-vm", "mount", "unshare"] {
        let mut other = room.start(&["walls=down"], &["wait"]);
        other.says("waiting");
        let pid = format!("pid={}", other.pid());
        // Without walls it works, or fails for reasons of its own, as a mount on no directory does.
        let open = room.run(&[&pid, "walls=down"], &[attempt]);
        assert_eq!(open.status.signal(), None, "{attempt}");
        let walled = room.run(&[&pid, WALLS], &[attempt]);
        assert!(walled.walls().starts_with("up"), "{}", walled.walls());
        assert_eq!(walled.of(attempt), "", "{attempt}");
        assert_eq!(walled.status.signal(), Some(Signal::SIGSYS as i32), "{attempt}");
        assert!(!walled.status.core_dumped(), "{attempt}");
        // The traced one lives, and was let go.
        other.go_on();
        assert!(other.end().success());
    }
}

/// What lies in the working directory after an abort.
fn cores(room: &Room) -> usize {
    let names = fs::read_dir(&room.inside).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().contains("core")).count()
}

pub fn t05_an_abort_leaves_no_core() {
    let room = Room::new();
    let walled = room.run(&[WALLS], &["abort"]);
    assert!(walled.walls().starts_with("up no core dumps"), "{}", walled.walls());
    assert_eq!(walled.status.signal(), Some(Signal::SIGABRT as i32));
    assert!(!walled.status.core_dumped());
    assert_eq!(cores(&room), 0);

    // Without walls there would be one, unless the system as a whole allows none.
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if hard > 0 && !pattern.trim().is_empty() {
        let open = room.run(&["walls=down"], &["abort"]);
        assert_eq!(open.status.signal(), Some(Signal::SIGABRT as i32));
        assert!(open.status.core_dumped(), "no core even without walls, with the pattern {pattern}");
    }
}

pub fn walls_need_a_process_of_one_thread() {
    let outcome = Room::new().run(&["threads=two"], &["read"]);
    assert!(outcome.walls().starts_with("error 2 threads run"), "{}", outcome.walls());
    assert_eq!(outcome.of("read"), "");
}
