use std::fs;

use testkit::{Finding, memory_contains};

use crate::inside::labour::secret_byte;
use crate::room::{Inside, NOBODY, Room, is_root};

const WALLS: &str = "landlock=if-there";

/// A number of KiB from `/proc/PID/status`.
fn status(pid: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap()
}

/// The capability to lock memory whatever the limit: number 14 of linux/capability.h.
fn may_lock() -> bool {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap() & (1 << 14) != 0
}

fn unlimited() -> bool {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    getrlimit(Resource::RLIMIT_MEMLOCK).unwrap().1 == RLIM_INFINITY
}

#[track_caller]
fn names_what_to_do(error: &str) {
    assert!(error.starts_with("error the memory cannot be locked with a limit of"), "{error}");
    assert!(error.contains("LimitMEMLOCK=infinity") && error.contains("CAP_IPC_LOCK"), "{error}");
}

pub fn memory_is_locked_or_the_error_says_how() {
    let room = Room::new();
    if !may_lock() && !unlimited() {
        names_what_to_do(room.run(&["memory=locked", WALLS], &["wait"]).walls());
        return;
    }
    let mut inside = room.start(&["memory=locked", WALLS], &["wait"]);
    inside.says("waiting");
    let pid = inside.pid().to_string();
    // All that it uses is locked, but for the few pages that the kernel itself shares with it.
    let (locked, used) = (status(&pid, "VmLck:"), status(&pid, "VmRSS:"));
    assert!(locked > 0 && locked + 64 >= used, "{locked} KiB of {used} KiB");
    inside.go_on();
    assert!(inside.end().success());

    let mut inside = room.start(&["memory=swap", WALLS], &["wait"]);
    inside.says("waiting");
    assert_eq!(status(&inside.pid().to_string(), "VmLck:"), 0);
    inside.go_on();
    assert!(inside.end().success());
}

pub fn memory_that_may_swap_stands_in_the_report() {
    let outcome = Room::new().run(&["memory=swap", WALLS], &[]);
    assert!(outcome.walls().contains("memory MAY BE SWAPPED (allowed)"), "{}", outcome.walls());
}

/// A user with a small limit; root is not one, since its capability counts more.
pub fn a_small_limit_is_a_named_error() {
    let (room, user) = if is_root() { (Room::of(NOBODY), "user=nobody") } else { (Room::new(), "user=") };
    let outcome = room.run(&[user, "memory=locked", "memlock=65536", WALLS], &["read"]);
    names_what_to_do(outcome.walls());
    assert!(outcome.walls().contains("64 KiB"), "{}", outcome.walls());
    assert_eq!(outcome.of("read"), "");
    // A limit that is enough today and not for the threads of tomorrow.
    let outcome = room.run(&[user, "memory=locked", "memlock=8388608", WALLS], &["read"]);
    names_what_to_do(outcome.walls());
}

/// Sixteen stacks of 8 MiB are locked as far as they are used, no further.
pub fn stacks_do_not_fill_memory() {
    let locked = if may_lock() || unlimited() { "memory=locked" } else { "memory=swap" };
    let room = Room::new();
    let mut inside = room.start(&[locked, WALLS], &["stacks"]);
    inside.says("standing");
    let pid = inside.pid().to_string();
    let used = status(&pid, "VmRSS:");
    assert!((4 << 10..32 << 10).contains(&used), "{used} KiB in use");
    if locked == "memory=locked" {
        assert!(status(&pid, "VmLck:") > 16 * (8 << 10));
    }
    inside.go_on();
    assert_eq!(inside.says("stacks"), "ok");
    assert!(inside.end().success());
}

pub fn t05_nobody_of_the_same_user_reads_the_memory() {
    let (room, user) = if is_root() { (Room::of(NOBODY), "user=nobody") } else { (Room::new(), "user=") };
    let needle: Vec<u8> = (0..32).map(|n| secret_byte(n + 1_000)).collect();
    fs::write(room.inside.join("needle"), &needle).unwrap();
    let reader = |pid: u32| room.run(&[&format!("pid={pid}"), user, "walls=down"], &["open-memory"]);

    let mut open = room.start(&[user, "walls=down"], &["hold"]);
    open.says("holding");
    // Yama forbids it between strangers by itself.
    let yama = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|scope| scope.trim() != "0");
    assert_eq!(reader(open.pid()).of("open-memory"), if yama { "errno 13" } else { "ok" });
    assert!(!memory_contains(open.pid(), &[&needle]).unwrap().is_empty());
    open.go_on();
    assert!(open.end().success());

    let mut walled = room.start(&[user, WALLS], &["hold"]);
    walled.says("holding");
    assert_eq!(reader(walled.pid()).of("open-memory"), "errno 13");
    // Root still does: this is no wall against the host.
    let search = memory_contains(walled.pid(), &[&needle]);
    if is_root() {
        assert!(search.unwrap().iter().any(|finding| finding.spelling == "raw"));
    } else {
        assert!(search.is_err());
    }
    walled.go_on();
    assert!(walled.end().success());
}

pub fn t05_the_stack_is_scrubbed() {
    let needle: Vec<u8> = (0..32).map(secret_byte).collect();
    let find = |inside: &Inside| -> Vec<Finding> { memory_contains(inside.pid(), &[&needle]).unwrap() };
    let room = Room::new();
    let mut inside = room.start(&["walls=down"], &["stack"]);
    inside.says("left");
    let before = find(&inside);
    assert!(before.len() > 1_000 && before.iter().all(|finding| finding.region.ends_with("[stack]")), "{before:?}");
    inside.go_on();
    inside.says("scrubbed");
    assert_eq!(find(&inside), []);
    inside.go_on();
    assert!(inside.end().success());
}
