//! What the process must still be able to do. `ok` is what everyone hopes for.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use walls::scrub_stack;

use super::attempts::Attempt;
use super::{Options, say};

const LIMIT: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;

fn done() -> io::Result<String> {
    Ok("ok".to_owned())
}

fn wait() -> io::Result<()> {
    io::stdin().lock().read_line(&mut String::new()).map(drop)
}

pub const TABLE: &[(&str, Attempt)] = &[
    ("threads", |_| threads()),
    ("panic", |_| {
        let caught = thread::spawn(|| panic!("this is part of the test")).join();
        if caught.is_err() { done() } else { Err(io::Error::other("no panic")) }
    }),
    ("replace", replace),
    ("journal", journal),
    ("tree", tree),
    ("serve", serve),
    ("pair", |_| {
        let (mut one, mut other) = UnixStream::pair()?;
        one.write_all(b"x")?;
        other.read_exact(&mut [0])?;
        done()
    }),
    ("random", |_| {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        if bytes == [0; 32] { Err(io::Error::other("no randomness")) } else { done() }
    }),
    ("clock", |_| {
        let before = Instant::now();
        thread::sleep(Duration::from_millis(2));
        let passed = before.elapsed() >= Duration::from_millis(2);
        let later = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|now| now.as_secs() > 1 << 30);
        if passed && later { done() } else { Err(io::Error::other("time stands still")) }
    }),
    ("complain", |_| {
        eprintln!("(a line of the test on standard error)");
        io::stderr().flush()?;
        done()
    }),
    ("heap", |_| {
        let large: Vec<Vec<u8>> = (0..64).map(|n| vec![n; MIB]).collect();
        black_box(&large);
        drop(large);
        black_box(vec![1_u8; 64 * MIB]);
        thread::available_parallelism()?;
        done()
    }),
    ("wait", |_| {
        say("waiting", "ok");
        wait()?;
        done()
    }),
    ("hold", |options| {
        let kept: Vec<u8> = fs::read(options.path("inside", "needle"))?;
        say("holding", "ok");
        wait()?;
        black_box(kept);
        done()
    }),
    ("stacks", |_| stacks()),
    ("stack", |_| {
        black_box(leave());
        say("left", "ok");
        wait()?;
        scrub_stack();
        say("scrubbed", "ok");
        wait()?;
        done()
    }),
];

fn threads() -> io::Result<String> {
    let (sender, receiver) = mpsc::channel();
    let workers: Vec<_> = (0..16)
        .map(|n| {
            let sender = sender.clone();
            let work = move || sender.send(vec![n; MIB].len());
            thread::Builder::new().name(format!("worker {n}")).spawn(work)
        })
        .collect::<io::Result<_>>()?;
    drop(sender);
    if receiver.iter().sum::<usize>() != 16 * MIB {
        return Err(io::Error::other("a thread did not work"));
    }
    for worker in workers {
        worker.join().map_err(|_| io::Error::other("a thread died"))?.map_err(io::Error::other)?;
    }
    done()
}

/// A file is replaced: temporary file, sync, rename, sync of the directory.
fn replace(options: &Options) -> io::Result<String> {
    let (path, temporary) = (options.path("inside", "key"), options.path("inside", "key.new"));
    for contents in ["one", "two"] {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(contents.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(options.path("inside", ""))?.sync_all()?;
        if fs::read_to_string(&path)? != contents {
            return Err(io::Error::other("the file is not what was written"));
        }
    }
    done()
}

/// A journal: locked, read, appended, synced, cut.
fn journal(options: &Options) -> io::Result<String> {
    use std::io::{Seek as _, SeekFrom};
    let path = options.path("inside", "journal");
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    file.try_lock().map_err(io::Error::other)?;
    file.read_to_end(&mut Vec::new())?;
    file.write_all(b"record record")?;
    file.sync_data()?;
    file.set_len(6)?;
    file.seek(SeekFrom::Start(6))?;
    file.sync_all()?;
    if file.metadata()?.len() != 6 || fs::metadata(&path)?.len() != 6 {
        return Err(io::Error::other("the journal is not cut"));
    }
    done()
}

/// As a token's store in files has it: directories made, listed, renamed into one another, removed.
fn tree(options: &Options) -> io::Result<String> {
    let tree = options.path("inside", "tree");
    fs::create_dir_all(tree.join("a/b"))?;
    fs::write(tree.join("a/object"), "x")?;
    fs::rename(tree.join("a/object"), tree.join("a/b/object"))?;
    fs::copy(tree.join("a/b/object"), tree.join("a/copy"))?;
    let names = fs::read_dir(tree.join("a"))?.count();
    fs::remove_dir_all(&tree)?;
    if names == 2 && !tree.try_exists()? { done() } else { Err(io::Error::other("the tree is not as it was made")) }
}

/// One connection over each listener, with the options that the signer sets: a line comes and goes back.
fn serve(options: &Options) -> io::Result<String> {
    let (Some(tcp), Some(unix)) = (&options.tcp, &options.unix) else { return Err(io::Error::other("no listener")) };
    say("listening", &tcp.local_addr()?.to_string());
    let (stream, _) = tcp.accept()?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.set_nodelay(true)?;
    stream.peer_addr()?;
    thread::scope(|scope| scope.spawn(|| echo(&stream, &stream)).join()).map_err(|_| io::Error::other("dead"))??;
    stream.shutdown(std::net::Shutdown::Both)?;
    let (stream, _) = unix.accept()?;
    stream.set_read_timeout(Some(LIMIT))?;
    echo(&stream, &stream)?;
    done()
}

fn echo(from: impl io::Read, mut to: impl io::Write) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line)?;
    to.write_all(line.as_bytes())
}

/// Sixteen threads with stacks of 8 MiB, and 4 MiB in use.
fn stacks() -> io::Result<String> {
    let together = Arc::new(Barrier::new(17));
    let (ready, used) = (Arc::new(Barrier::new(17)), vec![1_u8; 4 * MIB]);
    let start = |_| {
        let (together, ready) = (Arc::clone(&together), Arc::clone(&ready));
        let work = move || {
            ready.wait();
            together.wait();
        };
        thread::Builder::new().stack_size(8 * MIB).spawn(work)
    };
    let workers: Vec<_> = (0..16).map(start).collect::<io::Result<_>>()?;
    ready.wait();
    say("standing", "ok");
    wait()?;
    black_box(used);
    together.wait();
    workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| io::Error::other("a thread died")))?;
    done()
}

/// Byte `n` of a secret that stands in no program and no file.
pub fn secret_byte(n: usize) -> u8 {
    u8::try_from((n * 197 + 91) % 251).unwrap() ^ 0xA5
}

/// Leaves a secret of 32 bytes many times on the stack, in 64 KiB below the caller.
#[inline(never)]
fn leave() -> u8 {
    let mut place = [0_u8; 64 << 10];
    for (n, byte) in place.iter_mut().enumerate() {
        *byte = secret_byte(n % 32);
    }
    black_box(&place)[7]
}
