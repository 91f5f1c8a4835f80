use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::room::{NOBODY, Room, is_root};

const BACK: &[&str] = &["root", "root-for-a-while", "roots-group", "roots-group-for-a-while", "roots-groups"];

/// Only root can become another user; anyone else is told so.
fn not_root() {
    let outcome = Room::new().run(&["user=nobody", "walls=down"], &["read"]);
    assert!(outcome.walls().starts_with("error not started as root"), "{}", outcome.walls());
    assert_eq!(outcome.of("read"), "");
}

pub fn t05_root_is_gone_for_good() {
    if !is_root() {
        return not_root();
    }
    let room = Room::of(NOBODY);
    fs::set_permissions(room.outside.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let attempts = [&["read"], BACK].concat();
    room.run(&["walls=down"], &attempts).all(&attempts, "ok");
    let dropped = room.run(&["user=nobody", "walls=down"], &attempts);
    assert_eq!(dropped.walls(), "down");
    assert_eq!(dropped.of("read"), "errno 13");
    dropped.all(BACK, "errno 1");
    // Root that stays root cannot change its user behind the walls either.
    room.run(&["landlock=if-there"], BACK).all(BACK, "errno 1");
}

pub fn users_that_will_not_do_are_named() {
    let room = Room::new();
    for (user, error) in [
        ("user=no-such-user-here", "error there is no user no-such-user-here; create it"),
        ("user=root", "error root is root or in root's group"),
    ] {
        let outcome = room.run(&[user, "walls=down"], &["read"]);
        assert!(outcome.walls().starts_with(error), "{}", outcome.walls());
        assert_eq!(outcome.of("read"), "");
        assert!(!outcome.status.success());
    }
    if !is_root() {
        return not_root();
    }
    let outcome = room.run(&["user=nobody", "threads=early", "walls=down"], &["read"]);
    assert!(outcome.walls().starts_with("error the process is not fit to change its user: 2 threads"));
    assert_eq!(outcome.of("read"), "");
}

pub fn another_user_works_behind_walls() {
    if !is_root() {
        return not_root();
    }
    let attempts = ["threads", "replace", "journal", "tree", "random"];
    let room = Room::of(NOBODY);
    let outcome = room.run(&["user=nobody", "landlock=if-there"], &[&attempts[..], &["lock-limit"]].concat());
    assert!(outcome.walls().starts_with("up"), "{}", outcome.walls());
    outcome.all(&attempts, "ok");
    // Where root may raise limits, the other user can lock memory, and otherwise is told how.
    let locked = room.run(&["user=nobody", "landlock=if-there", "memory=locked"], &["threads"]);
    if room.run(&["user=nobody", "walls=down"], &["lock-limit"]).of("lock-limit") == "none" {
        assert!(locked.walls().contains("memory locked"), "{}", locked.walls());
        locked.all(&["threads"], "ok");
    } else {
        assert!(locked.walls().starts_with("error the memory cannot be locked"), "{}", locked.walls());
    }
}
