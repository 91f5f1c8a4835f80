//! What is open already: no filter of new sockets stops the use of an old one.
//!
//! `/proc/self/fd` says which sockets there are, `/proc/self/net/tcp`, `tcp6` and `unix` say what they are. A socket that stands
//! in none of them (UDP, raw, another network namespace, not connected yet) counts as one that must not be there.

use std::collections::BTreeSet;
use std::fs;

use crate::WallError;

const DESCRIPTORS: &str = "/proc/self/fd";
const TCP: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
const UNIX: &str = "/proc/self/net/unix";
/// TCP_LISTEN of the kernel's `enum` of states.
const LISTENING: &str = "0A";

/// A line of the table of TCP sockets.
#[derive(Debug, PartialEq, Eq)]
struct Tcp {
    inode: u64,
    port: u16,
    listening: bool,
}

/// Of the sockets of the Internet only the listener on `port` is open, or none.
pub fn only_listener(port: Option<u16>) -> Result<(), WallError> {
    let open = open_sockets()?;
    if open.is_empty() {
        return Ok(());
    }
    let unix: BTreeSet<u64> = read(UNIX)?.lines().skip(1).filter_map(unix_inode).collect();
    let mut tcp = Vec::new();
    for table in TCP {
        // A kernel without IPv6 has no second table, and then no such socket.
        if fs::exists(table).map_err(|error| WallError::Proc(table, error))? {
            tcp.extend(read(table)?.lines().skip(1).filter_map(tcp_line));
        }
    }
    for inode in open.difference(&unix) {
        match tcp.iter().find(|line| line.inode == *inode) {
            Some(line) if line.listening && Some(line.port) == port => {}
            Some(Tcp { port, listening: true, .. }) => {
                return Err(WallError::OpenSocket(format!("a listener on port {port}")));
            }
            Some(Tcp { port, .. }) => return Err(WallError::OpenSocket(format!("a connection from port {port}"))),
            None => return Err(WallError::OpenSocket("a socket that is neither a TCP listener nor a Unix one".into())),
        }
    }
    Ok(())
}

fn read(path: &'static str) -> Result<String, WallError> {
    // Names of Unix sockets are any bytes.
    let bytes = fs::read(path).map_err(|error| WallError::Proc(path, error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Inodes of the sockets among the open descriptors.
fn open_sockets() -> Result<BTreeSet<u64>, WallError> {
    let proc = |error| WallError::Proc(DESCRIPTORS, error);
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(DESCRIPTORS).map_err(proc)? {
        // The descriptor of this very listing is gone by now, or leads to a directory.
        let Ok(target) = fs::read_link(entry.map_err(proc)?.path()) else { continue };
        let target = target.to_string_lossy();
        inodes.extend(target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse::<u64>().ok()));
    }
    Ok(inodes)
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...`, numbers in hexadecimal but the inode.
fn tcp_line(line: &str) -> Option<Tcp> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Tcp { inode: fields.get(9)?.parse().ok()?, port, listening: *fields.get(3)? == LISTENING })
}

/// `Num RefCount Protocol Flags Type St Inode Path`.
fn unix_inode(line: &str) -> Option<u64> {
    line.split_ascii_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernels_tables_are_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17461 1 \
                    ffff8881 100 0 0 10 0";
        assert_eq!(tcp_line(line), Some(Tcp { inode: 17_461, port: 8080, listening: true }));
        let line = "   1: 00000000000000000000000001000000:8EA8 00000000000000000000000001000000:0016 01 00000000:00000000 \
                    00:00000000 00000000  1000        0 99 1 0 20 4 30 10 -1";
        assert_eq!(tcp_line(line), Some(Tcp { inode: 99, port: 0x8EA8, listening: false }));
        assert_eq!(unix_inode("ffff88: 00000002 00000000 00010000 0001 01 22334 /run/a b"), Some(22_334));
        assert_eq!(tcp_line("nonsense"), None);
        assert_eq!(unix_inode("nonsense"), None);
    }
}
