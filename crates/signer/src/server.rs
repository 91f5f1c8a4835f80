//! The listener: mutual TLS with exactly one client certificate, and perhaps a second one that may only freeze; a thread for each of
//! a few connections, and one question at a time for the core.
//!
//! A freeze must reach the core whoever else is at the door, so nobody keeps a place by holding on to it: when places are taken, a
//! connection that only waits gives way to the newest, and whoever reads or writes slowly is gone within seconds.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use signer_wire::{
    FrameError, Refusal, Reply, ReplyBody, Request, RequestBody, Source, VERSION, decode, encode, read_frame,
    write_frame,
};
use types::{Moment, RefusalCode};

use crate::core::Core;
use crate::enrol::{Enrolment, files};

/// The most connections with the online certificate at once; the one that has been idle longest gives way.
const CONNECTIONS_MAX: usize = 16;
/// The most connections with the certificate that may only freeze. They take no place of the others, and the others none of theirs.
const FREEZERS_MAX: usize = 4;
/// The most connections whose certificate is not known yet; one from where most of them come gives way. Strangers fill these, and not
/// the others.
const STRANGERS_MAX: usize = 64;
/// How long a stranger may take to show a certificate.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(120);
/// How long a question that has begun may take to arrive.
const QUESTION: Duration = Duration::from_secs(10);
/// How long the other side may take to read an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Why the listener does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A certificate or key cannot be used.
    #[error("the certificate or key in {0} cannot be used")]
    Pem(PathBuf),
    /// TLS refuses the certificates.
    #[error("TLS refuses the certificates")]
    Tls(#[from] rustls::Error),
    /// The client's certificate cannot be a trust anchor.
    #[error("the client's certificate cannot be pinned: {0}")]
    Pin(String),
    /// The listener.
    #[error("cannot listen")]
    Listen(#[from] io::Error),
}

/// Who may come in.
pub struct Door {
    config: Arc<ServerConfig>,
    online: CertificateDer<'static>,
    freezer: Option<CertificateDer<'static>>,
}

/// What a connection may ask, by its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    /// Everything.
    Online,
    /// To stop, and to look.
    Freezer,
}

/// Reads certificate, key, the pinned client certificate, and where there is one the certificate that may only freeze, from the
/// signer's directory.
pub fn tls(directory: &Path, enrolment: &Enrolment) -> Result<Door, ServerError> {
    let pem = |name: &str| ServerError::Pem(directory.join(name));
    let certificate =
        CertificateDer::from_pem_slice(enrolment.certificate.as_bytes()).map_err(|_| pem(files::ENROLMENT))?;
    let key = PrivateKeyDer::from_pem_file(directory.join(files::TLS_KEY)).map_err(|_| pem(files::TLS_KEY))?;
    let read = |name| CertificateDer::from_pem_file(directory.join(name)).map_err(|_| pem(name));
    let online = read(files::CLIENT)?;
    let freezer = directory.join(files::FREEZER).exists().then(|| read(files::FREEZER)).transpose()?;
    let mut roots = RootCertStore::empty();
    for certificate in std::iter::once(&online).chain(&freezer) {
        roots.add(certificate.clone()).map_err(|error| ServerError::Pin(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| ServerError::Pin(error.to_string()))?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)?;
    Ok(Door { config: Arc::new(config), online, freezer })
}

impl Door {
    /// Who showed this certificate: it is one of the two themselves, and none that was issued by them.
    fn guest(&self, connection: &ServerConnection) -> Option<Guest> {
        let shown = connection.peer_certificates()?.first()?;
        match &self.freezer {
            Some(freezer) if freezer == shown && freezer != &self.online => Some(Guest::Freezer),
            _ => (&self.online == shown).then_some(Guest::Online),
        }
    }
}

/// How often it is looked whether a key's window has ended.
const TICK: Duration = Duration::from_millis(500);

/// How far the wall clock may leave the time that really passed since the start, in seconds: more is somebody's doing, and no window of a
/// key or a limit follows it. Clocks that are kept well are slewed, and stay within.
const DRIFT_SECONDS_MAX: i64 = 300;

/// Closes keys whose windows end, and everything when the clock is moved, for ever.
pub fn tick(core: &Mutex<Core>) {
    let (started, wall) = (Instant::now(), now());
    loop {
        std::thread::sleep(TICK);
        let passed = i64::try_from(started.elapsed().as_secs()).unwrap_or(i64::MAX);
        let drift = now().seconds().saturating_sub(wall.seconds()).saturating_sub(passed);
        let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = if drift.abs() > DRIFT_SECONDS_MAX { core.clock_drifted(drift, now()) } else { core.tick(now()) };
        if let Err(refused) = outcome {
            eprintln!("closing keys: {}: {}", refused.code, refused.reason);
        }
    }
}

/// Serves for ever.
pub fn serve(listener: &TcpListener, door: Door, core: &Arc<Mutex<Core>>) -> Result<(), ServerError> {
    let rooms = Arc::new(Rooms {
        door,
        strangers: Room::new(STRANGERS_MAX),
        online: Room::new(CONNECTIONS_MAX),
        freezers: Room::new(FREEZERS_MAX),
        turns: Turns::default(),
    });
    loop {
        let (stream, source) = match listener.accept() {
            Ok((stream, address)) => (stream, Source::of(address.ip())),
            // Broken before it was taken: whoever does that on purpose makes nobody wait.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            // Too many open files, say: the keys stay open, and others are answered.
            Err(error) => {
                eprintln!("a connection was not taken: {error}");
                std::thread::sleep(TICK);
                continue;
            }
        };
        // Taken here, so that there are never many more threads than places.
        let Ok(place) = Room::enter(&rooms.strangers, &stream, source) else { continue };
        let (rooms, core) = (Arc::clone(&rooms), Arc::clone(core));
        let begun = std::thread::Builder::new().spawn(move || {
            if let Err(error) = meet(stream, place, source, &rooms, &core) {
                eprintln!("a connection ended: {error}");
            }
        });
        if let Err(error) = begun {
            eprintln!("a connection was not taken: {error}");
        }
    }
}

struct Rooms {
    door: Door,
    strangers: Arc<Room>,
    online: Arc<Room>,
    freezers: Arc<Room>,
    turns: Turns,
}

/// A bounded number of connections of one kind.
struct Room {
    most: usize,
    seats: Mutex<Seats>,
    /// Told when a seat is free.
    left: Condvar,
}

#[derive(Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, Seat>,
}

struct Seat {
    stream: TcpStream,
    source: Source,
    /// Since when it waits, as a number that grows.
    since: u64,
    /// It has asked, and is being answered.
    busy: bool,
    /// Its connection was shut; its thread is about to end.
    leaving: bool,
}

impl Seats {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Shuts the connection that gives way: one that waits before one that is being answered, then one from where most come, so that
    /// one source drives out its own, then the one that has waited longest.
    fn give_way(&mut self) {
        let staying = || self.taken.values().filter(|seat| !seat.leaving);
        let alike = |source| staying().filter(|seat| seat.source == source).count();
        let rank = |seat: &Seat| (seat.busy, std::cmp::Reverse(alike(seat.source)), seat.since);
        let chosen = self.taken.iter().filter(|(_, seat)| !seat.leaving).min_by_key(|(_, seat)| rank(seat));
        let chosen = chosen.map(|(number, _)| *number);
        if let Some(seat) = chosen.and_then(|number| self.taken.get_mut(&number)) {
            seat.leaving = true;
            // One that is gone already is as good as shut.
            let _ = seat.stream.shutdown(Shutdown::Both);
        }
    }
}

impl Room {
    fn new(most: usize) -> Arc<Room> {
        Arc::new(Room { most, seats: Mutex::default(), left: Condvar::new() })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; when there is none, somebody gives way. Waits only while as many threads as there are places are about to end.
    fn enter(room: &Arc<Room>, stream: &TcpStream, source: Source) -> io::Result<Place> {
        let stream = stream.try_clone()?;
        let mut seats = room.seats();
        while seats.taken.len() >= 2 * room.most {
            seats = room.left.wait(seats).unwrap_or_else(PoisonError::into_inner);
        }
        if seats.taken.values().filter(|seat| !seat.leaving).count() >= room.most {
            seats.give_way();
        }
        let number = seats.number();
        seats.taken.insert(number, Seat { stream, source, since: number, busy: false, leaving: false });
        Ok(Place { room: Arc::clone(room), number })
    }
}

/// A place in a room; given back when dropped.
struct Place {
    room: Arc<Room>,
    number: u64,
}

impl Place {
    /// Says whether it is being answered now; false when it has to leave.
    fn set_busy(&self, busy: bool) -> bool {
        let mut seats = self.room.seats();
        let since = seats.number();
        let Some(seat) = seats.taken.get_mut(&self.number).filter(|seat| !seat.leaving) else { return false };
        (seat.busy, seat.since) = (busy, since);
        true
    }

    /// Whether it has not given way.
    fn stays(&self) -> bool {
        self.room.seats().taken.get(&self.number).is_some_and(|seat| !seat.leaving)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.seats().taken.remove(&self.number);
        self.room.left.notify_all();
    }
}

/// A connection on which everything together ends at a deadline: drops of bytes do not lengthen it.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }

    fn give(&mut self, time: Duration) {
        self.deadline = Instant::now() + time;
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

type Connection = StreamOwned<ServerConnection, Timed>;

fn meet(
    stream: TcpStream,
    stranger: Place,
    source: Source,
    rooms: &Rooms,
    core: &Mutex<Core>,
) -> Result<(), FrameError> {
    let stream = introduce(stream, Arc::clone(&rooms.door.config))?;
    let guest = rooms.door.guest(&stream.conn).ok_or_else(|| io::Error::other("another certificate"))?;
    let room = match guest {
        Guest::Online => &rooms.online,
        Guest::Freezer => &rooms.freezers,
    };
    let place = Room::enter(room, &stream.sock.stream, source)?;
    drop(stranger);
    converse(stream, guest, &place, &rooms.turns, core)
}

/// Shakes hands within a time that drops of bytes do not lengthen; only a pinned certificate comes through.
fn introduce(stream: TcpStream, config: Arc<ServerConfig>) -> Result<Connection, FrameError> {
    stream.set_nodelay(true)?;
    let mut stream = Timed { stream, deadline: Instant::now() + HANDSHAKE };
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        if connection.wants_write() {
            connection.write_tls(&mut stream)?;
        }
        if connection.wants_read() {
            if connection.read_tls(&mut stream)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Err(error) = connection.process_new_packets() {
                // The other side is told why, if it listens.
                let _ = connection.write_tls(&mut stream);
                return Err(io::Error::other(error).into());
            }
        }
    }
    Ok(StreamOwned::new(connection, stream))
}

fn converse(
    mut stream: Connection,
    guest: Guest,
    place: &Place,
    turns: &Turns,
    core: &Mutex<Core>,
) -> Result<(), FrameError> {
    loop {
        stream.sock.give(IDLE);
        let mut first = [0];
        if stream.read(&mut first)? == 0 {
            return Ok(());
        }
        stream.sock.give(QUESTION);
        let Some(frame) = read_frame(&mut first.as_slice().chain(&mut stream))? else { return Ok(()) };
        let Some(body) = answer(&frame, guest, place, turns, core) else { return Ok(()) };
        stream.sock.give(ANSWER);
        // Its place can be taken while it reads: one that is slow to read is not being answered.
        if !place.set_busy(false) {
            return Ok(());
        }
        write_frame(&mut stream, &encode(&Reply { version: VERSION, body })?)?;
    }
}

/// Whose turn it is with the core. A freeze comes before every other question that waits, so that a crowd of them does not hold it up.
///
/// What it waits for is bounded by the one question that the core has in hand: a preparation, whose frame has at most
/// [`signer_wire::FRAME_BYTES_MAX`] bytes, or one sync of the disk. Besides these the core is only asked by the clock, which at most closes
/// keys, and by people at the machine itself, whose opening of a device takes as long as the device does.
#[derive(Default)]
struct Turns {
    state: Mutex<Turn>,
    changed: Condvar,
}

#[derive(Default)]
struct Turn {
    taken: bool,
    /// How many freezes wait.
    urgent: usize,
}

/// A turn; over when dropped.
struct Taken<'a>(&'a Turns);

impl Turns {
    fn take(&self, urgent: bool) -> Taken<'_> {
        let mut turn = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        turn.urgent += usize::from(urgent);
        while turn.taken || (!urgent && turn.urgent > 0) {
            turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        turn.urgent -= usize::from(urgent);
        turn.taken = true;
        Taken(self)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).taken = false;
        self.0.changed.notify_all();
    }
}

/// The answer; none to who gave way meanwhile: nothing is done that nobody hears of, and a crowd that was driven out does not keep the
/// core busy.
fn answer(frame: &[u8], guest: Guest, place: &Place, turns: &Turns, core: &Mutex<Core>) -> Option<ReplyBody> {
    let refused = |code: RefusalCode, reason: String| Some(ReplyBody::Refused(Refusal::new(code, reason)));
    if !place.set_busy(true) {
        return None;
    }
    let request: Request = match decode(frame) {
        Ok(request) => request,
        Err(error) => return refused(RefusalCode::Message, error.to_string()),
    };
    if request.version != VERSION {
        return refused(RefusalCode::Version, format!("this signer speaks version {VERSION}"));
    }
    let freezes = matches!(request.body, RequestBody::Freeze { .. });
    let looks = matches!(request.body, RequestBody::Hello | RequestBody::Board | RequestBody::Exposure);
    if guest == Guest::Freezer && !freezes && !looks {
        return refused(RefusalCode::FreezeOnly, "this certificate may freeze and look, and nothing else".to_owned());
    }
    let _turn = turns.take(freezes);
    // A freeze is done even if who asked for it has gone.
    if !freezes && !place.stays() {
        return None;
    }
    // Every change of the core's memory follows a record of the journal, so a panic half way leaves nothing to repair.
    let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
    let reply = core.handle(&request.body, now());
    if let ReplyBody::Refused(refusal) = &reply {
        eprintln!("refused {}: {}", refusal.code, refusal.reason);
    }
    Some(reply)
}

/// The system's time.
pub fn now() -> Moment {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_micros());
    Moment::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn t05_who_does_not_read_or_write_is_gone_at_the_deadline() {
        let (near, far) = pair();
        let mut slow = Timed { stream: near, deadline: Instant::now() + Duration::from_millis(200) };
        let begun = Instant::now();
        let late = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        // Nobody reads at the other end, so the system's buffers are full some time.
        let error = std::iter::repeat_with(|| slow.write_all(&[0; 65_536])).find_map(Result::err).unwrap();
        assert!(late.contains(&error.kind()), "{error}");
        assert!(late.contains(&slow.read(&mut [0]).unwrap_err().kind()));
        slow.give(Duration::from_millis(200));
        assert!(late.contains(&slow.read(&mut [0]).unwrap_err().kind()));
        assert!(begun.elapsed() < Duration::from_secs(10));
        drop(far);
    }

    #[test]
    fn t05_one_source_of_strangers_drives_out_its_own() {
        let room = Room::new(4);
        let [many, few] = ["10.0.0.1", "10.0.0.2"].map(|address| Source::of(address.parse().unwrap()));
        let (stream, _far) = pair();
        let enter = |source| Room::enter(&room, &stream, source).unwrap();
        let honest = enter(few);
        let mut crowd: Vec<Place> = Vec::new();
        for _ in 0..20 {
            crowd.push(enter(many));
            // Their threads end when they gave way.
            crowd.retain(Place::stays);
            assert!(honest.stays());
        }
        assert_eq!(crowd.len(), 3);
        // Among those who come from one place the one goes that waits longest, and nobody who is being answered.
        assert!(crowd[0].set_busy(true));
        let newest = enter(many);
        assert_eq!(crowd.iter().map(Place::stays).collect::<Vec<_>>(), [true, false, true]);
        assert!(newest.stays() && honest.stays());
        // Two addresses of one IPv6 network are one source, and an IPv4 address is the same in both forms.
        let same = |one: &str, two: &str| Source::of(one.parse().unwrap()) == Source::of(two.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::2:3") && same("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
    }

    #[test]
    fn t05_a_freeze_comes_before_all_that_waits() {
        let (turns, order) = (Turns::default(), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            let first = turns.take(false);
            let ask = |urgent: bool| {
                let _turn = turns.take(urgent);
                order.lock().unwrap().push(urgent);
            };
            for _ in 0..8 {
                scope.spawn(move || ask(false));
            }
            scope.spawn(move || ask(true));
            while turns.state.lock().unwrap().urgent == 0 {
                std::thread::yield_now();
            }
            drop(first);
        });
        let order = order.into_inner().unwrap();
        assert_eq!((order.len(), order[0]), (9, true));
    }
}
