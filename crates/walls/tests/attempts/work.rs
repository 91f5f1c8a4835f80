use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use crate::room::Room;

const ALONE: &[&str] =
    &["threads", "panic", "replace", "journal", "tree", "pair", "random", "clock", "complain", "heap", "wait"];

/// With all walls that this machine has, and with the memory locked where it lets us.
pub fn what_a_signer_does_still_works() {
    for memory in ["memory=swap", "memory=locked"] {
        let room = Room::new();
        let mut inside = room.start(&["listen=yes", "landlock=if-there", memory], &[&["serve"], ALONE].concat());
        let first = inside.line().unwrap();
        if first.starts_with("walls: error the memory cannot be locked") && memory == "memory=locked" {
            continue;
        }
        assert!(first.starts_with("walls: up"), "{first}");
        let address = inside.says("listening");
        talk(TcpStream::connect(address).unwrap());
        talk(UnixStream::connect(room.inside.join("control")).unwrap());
        for attempt in [&["serve"], ALONE].concat() {
            if attempt == "wait" {
                inside.says("waiting");
                inside.go_on();
            }
            assert_eq!(inside.says(attempt), "ok", "{attempt}, {memory}");
        }
        assert!(inside.end().success());
    }
}

trait Stream: std::io::Read + std::io::Write {
    fn finish(&self);
}

impl Stream for TcpStream {
    fn finish(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

impl Stream for UnixStream {
    fn finish(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

fn talk(mut stream: impl Stream) {
    stream.write_all(b"a line\n").unwrap();
    stream.finish();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "a line\n");
}
