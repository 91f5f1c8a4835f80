use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::room::{Room, landlock_here};

const CONNECTIONS: &[&str] = &["tcp4", "udp", "unix", "abstract", "bind-tcp", "bind-unix"];
const PERM: &str = "errno 1";

/// Listeners of the test, to which connections would go.
struct Outside {
    _tcp4: TcpListener,
    tcp6: Option<TcpListener>,
    _unix: UnixListener,
    _abstract: UnixListener,
    options: Vec<String>,
}

impl Outside {
    fn of(room: &Room) -> Outside {
        let tcp4 = TcpListener::bind("127.0.0.1:0").unwrap();
        // A machine may be without IPv6; the walls must hold there as well.
        let tcp6 = TcpListener::bind("[::1]:0").ok();
        let name = format!("claviger-walls-{}-{}", std::process::id(), room.outside.display());
        let unix = UnixListener::bind(room.outside.join("socket")).unwrap();
        let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let target6 = tcp6.as_ref().map_or("[::1]:9".to_owned(), |tcp6| tcp6.local_addr().unwrap().to_string());
        let options =
            vec![format!("tcp4={}", tcp4.local_addr().unwrap()), format!("tcp6={target6}"), format!("abstract={name}")];
        Outside { _tcp4: tcp4, tcp6, _unix: unix, _abstract: hidden, options }
    }

    fn with<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        self.options.iter().map(String::as_str).chain(more.iter().copied()).collect()
    }
}

pub fn t05_no_connection_leaves() {
    let room = Room::new();
    let outside = Outside::of(&room);
    let attempts = [CONNECTIONS, &["tcp6", "lookup"]].concat();
    let open = room.run(&outside.with(&["walls=down"]), &attempts);
    open.all(CONNECTIONS, "ok");
    assert_eq!(open.of("tcp6") == "ok", outside.tcp6.is_some());
    assert_eq!(open.of("lookup"), "ok");
    fs::remove_file(room.inside.join("another")).unwrap();

    let walled = room.run(&outside.with(&["landlock=if-there"]), &attempts);
    walled.all(CONNECTIONS, PERM);
    walled.all(&["tcp6"], PERM);
    // Where its file of hosts can still be read, a name in it is found without asking anyone.
    walled.all(&["lookup"], if landlock_here() { "refused" } else { "ok" });
}

pub fn t05_seccomp_alone_stops_the_connection() {
    let room = Room::new();
    let outside = Outside::of(&room);
    let hidden = format!("hide-landlock={}", libc::ENOSYS);
    let attempts = [CONNECTIONS, &["tcp6"]].concat();
    let walled = room.run(&outside.with(&[&hidden, "landlock=if-there"]), &attempts);
    walled.all(&attempts, PERM);
}

pub fn t05_sockets_that_are_open_are_found() {
    let room = Room::new();
    let outside = Outside::of(&room);
    for (options, named) in [
        (&["open=udp"][..], "a socket that is neither a TCP listener nor a Unix one"),
        (&["open=connection"], "a connection from port "),
        (&["open=listener"], "a listener on port "),
        (&["listen=yes", "port=1"], "a listener on port "),
        (&["listen=yes", "open=listener"], "a listener on port "),
    ] {
        let _ = fs::remove_file(room.inside.join("control"));
        let outcome = room.run(&outside.with(options), &["read"]);
        assert!(outcome.walls().starts_with(&format!("error open: {named}")), "{options:?}: {}", outcome.walls());
        assert_eq!(outcome.of("read"), "");
    }
    let outcome = room.run(&outside.with(&["landlock=if-there"]), &["read-read-only"]);
    assert_eq!(outcome.of("read-read-only"), "ok", "{}", outcome.walls());
}
