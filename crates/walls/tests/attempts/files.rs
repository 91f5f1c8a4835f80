use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;

use nix::sys::signal::Signal;

use crate::room::{Room, landlock_here};

/// In an order in which each succeeds where there are no walls.
const OUTSIDE: &[&str] = &[
    "read",
    "list",
    "write",
    "append",
    "make-directory",
    "move-out",
    "move-in",
    "link-in",
    "symlink-in",
    "modes",
    "cut",
    "write-read-only",
    "remove-read-only",
    "remove",
];
const READING: &[&str] = &["read-read-only", "list-read-only"];
const ACCES: &str = "errno 13";
const PERM: &str = "errno 1";

pub fn t05_files_outside_cannot_be_reached() {
    let attempts = [READING, OUTSIDE].concat();
    Room::new().run(&["walls=down"], &attempts).all(&attempts, "ok");
    if !landlock_here() {
        return without_landlock(&Room::new(), &[], "");
    }
    let outcome = Room::new().run(&[], &attempts);
    assert!(outcome.walls().contains("Landlock "), "{}", outcome.walls());
    outcome.all(READING, "ok");
    for attempt in OUTSIDE {
        // Links and modes are stopped by their calls.
        let expected = match *attempt {
            "link-in" | "symlink-in" | "modes" => PERM,
            _ => ACCES,
        };
        assert_eq!(outcome.of(attempt), expected, "{attempt}");
    }
}

/// A kernel without Landlock, real or made to seem so: the named error, or, where it is allowed, seccomp alone.
fn without_landlock(room: &Room, options: &[&str], reason: &str) {
    let outcome = room.run(options, &["read"]);
    assert!(outcome.walls().starts_with(&format!("error {reason}")), "{}", outcome.walls());
    assert!(outcome.walls().contains("only file modes protect"));
    assert_eq!(outcome.of("read"), "");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp4={}", listener.local_addr().unwrap());
    let options = [options, &["landlock=if-there", &target]].concat();
    let connection = ["tcp4", "udp", "bind-tcp", "spawn"];
    let outcome = room.run(&options, &[&connection[..], &["modes", "read", "exec"]].concat());
    assert!(outcome.walls().contains(&format!("NO LANDLOCK (allowed: {reason}")), "{}", outcome.walls());
    outcome.all(&connection, PERM);
    assert_eq!(outcome.of("modes"), PERM);
    // What the report warns of.
    assert_eq!(outcome.of("read"), "ok");
    assert_eq!(outcome.status.signal(), Some(Signal::SIGSYS as i32));
}

pub fn without_landlock_it_is_an_error_or_a_line_in_the_report() {
    without_landlock(&Room::new(), &[&format!("hide-landlock={}", libc::ENOSYS)], "no Landlock in this kernel");
    without_landlock(&Room::new(), &[&format!("hide-landlock={}", libc::EOPNOTSUPP)], "Landlock is not enabled");
}

pub fn a_path_that_is_not_there_is_named() {
    let outcome = Room::new().run(&["more=/nowhere/at/all"], &["read"]);
    assert!(outcome.walls().starts_with("error /nowhere/at/all cannot be opened"), "{}", outcome.walls());
    assert!(!outcome.status.success());
}
