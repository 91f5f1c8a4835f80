//! Connections: how many there may be, from one source and in all, and how long each may keep us waiting.
//!
//! Who waits longest without having asked for anything gives way to who comes: idle sockets keep nobody out. Who sends a head or a body
//! slowly, or does not read its answer, is let go of at a deadline.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use signer_wire::Source;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

use super::limits::{ANSWER_PATIENCE, BODY_PATIENCE, CONNECTIONS_MAX, END_PATIENCE, HEAD_PATIENCE};
use crate::problem::Problem;

/// After a connection that could not be taken, for want of files for instance.
const TICK: Duration = Duration::from_millis(50);
/// Longest head, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Answers with a router until `stop`.
pub async fn answer(listener: TcpListener, router: Router, of_one_source: usize, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Room { most: CONNECTIONS_MAX, of_one_source, seats: Mutex::default() });
    let mut guests = JoinSet::new();
    let told = stop.clone();
    // An error means that the sender is gone: as good as a stop.
    let mut stopped = pin!(async { stop.wait_for(|stop| *stop).await.is_ok() });
    loop {
        tokio::select! {
            _ = stopped.as_mut() => break,
            Some(_) = guests.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(seat) = Room::enter(&room, Source::of(peer.ip())) {
                        guests.spawn(meet(stream, peer, seat, router.clone(), told.clone()));
                    }
                }
                Err(_) => sleep(TICK).await,
            },
        }
    }
    drop(listener);
    // Who is not done by then is cut off with the set of tasks.
    let _ = timeout(END_PATIENCE, async { while guests.join_next().await.is_some() {} }).await;
}

async fn meet(stream: TcpStream, peer: SocketAddr, seat: Seat, router: Router, mut stop: watch::Receiver<bool>) {
    let seat = Arc::new(seat);
    let router = TowerToHyperService::new(router);
    let sits = Arc::clone(&seat);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(Arc::clone(&sits));
        router.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Attended { stream, stalled: None }), service));
    let mut ending = false;
    loop {
        tokio::select! {
            // However it ended: whoever was there is gone.
            _ = connection.as_mut() => return,
            () = seat.leave.notified() => return,
            _ = stop.wait_for(|stop| *stop), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Takes the whole body in before anything is done for the caller: nothing here waits for a caller half way.
pub async fn gather(State(body_max): State<usize>, request: Request, next: Next) -> Response {
    let seat = request.extensions().get::<Arc<Seat>>().cloned();
    let (head, body) = request.into_parts();
    let body = match timeout(BODY_PATIENCE, to_bytes(body, body_max)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let detail = format!("a request's body has at most {body_max} bytes");
            return Problem::new(413, "body-too-large", detail).into_response();
        }
        Err(_) => {
            let detail = format!("the body took longer than {} seconds; send it again", BODY_PATIENCE.as_secs());
            return Problem::new(408, "body-too-slow", detail).into_response();
        }
    };
    let _answering = seat.as_ref().map(|seat| Answering::begin(seat));
    next.run(Request::from_parts(head, Body::from(body))).await
}

/// A bounded number of connections.
struct Room {
    most: usize,
    of_one_source: usize,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, Taken>,
}

struct Taken {
    source: Source,
    /// Since when it waits, as a number that grows.
    since: u64,
    /// It has asked, and its answer is being made.
    busy: bool,
    leave: Arc<Notify>,
}

impl Seats {
    fn number(&mut self) -> u64 {
        self.next = self.next.saturating_add(1);
        self.next
    }

    fn from(&self, source: Source) -> usize {
        self.taken.values().filter(|one| one.source == source).count()
    }

    /// Sends away who has waited longest of those that may be; whether there was one.
    fn give_way(&mut self, of: impl Fn(&Taken) -> bool) -> bool {
        let waiting = self.taken.iter().filter(|(_, one)| !one.busy && of(one));
        let Some(number) = waiting.min_by_key(|(_, one)| one.since).map(|(number, _)| *number) else { return false };
        if let Some(gone) = self.taken.remove(&number) {
            gone.leave.notify_one();
        }
        true
    }

    /// From where most of those come that wait.
    fn most_from(&self) -> Option<Source> {
        let mut count: BTreeMap<Source, usize> = BTreeMap::new();
        for one in self.taken.values().filter(|one| !one.busy) {
            *count.entry(one.source).or_default() += 1;
        }
        count.into_iter().max_by_key(|(_, count)| *count).map(|(source, _)| source)
    }
}

impl Room {
    /// A place for somebody who comes, if there is one or somebody who waits gives way: of the same source when it has its share, of the
    /// one with the most otherwise.
    fn enter(room: &Arc<Room>, source: Source) -> Option<Seat> {
        let mut seats = room.seats();
        if seats.from(source) >= room.of_one_source && !seats.give_way(|one| one.source == source) {
            return None;
        }
        if seats.taken.len() >= room.most {
            let most = seats.most_from()?;
            seats.give_way(|one| one.source == most);
        }
        let (number, leave) = (seats.number(), Arc::new(Notify::new()));
        seats.taken.insert(number, Taken { source, since: number, busy: false, leave: Arc::clone(&leave) });
        drop(seats);
        Some(Seat { room: Arc::clone(room), number, leave })
    }

    fn seats(&self) -> std::sync::MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place; free again when this is dropped.
pub struct Seat {
    room: Arc<Room>,
    number: u64,
    leave: Arc<Notify>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.seats().taken.remove(&self.number);
    }
}

/// While this is there, its connection does not give way.
struct Answering<'a>(&'a Seat);

impl Answering<'_> {
    fn begin(seat: &Seat) -> Answering<'_> {
        if let Some(one) = seat.room.seats().taken.get_mut(&seat.number) {
            one.busy = true;
        }
        Answering(seat)
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        let mut seats = self.0.room.seats();
        let since = seats.number();
        if let Some(one) = seats.taken.get_mut(&self.0.number) {
            (one.busy, one.since) = (false, since);
        }
    }
}

/// A stream whose other end has to read.
struct Attended {
    stream: TcpStream,
    /// Runs while nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Attended {
    fn attend<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(ANSWER_PATIENCE)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Attended {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Attended {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.attend(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    #[test]
    fn t05_who_waits_longest_where_most_come_from_gives_way_and_nobody_who_is_answered() {
        let room = Arc::new(Room { most: 5, of_one_source: 3, seats: Mutex::default() });
        let enter = |last| Room::enter(&room, source(last));
        let there = |seat: &Option<Seat>| room.seats().taken.contains_key(&seat.as_ref().unwrap().number);
        let (one, two, three) = (enter(1), enter(1), enter(1));
        let busy = Answering::begin(one.as_ref().unwrap());
        // A source that has its share drives out its own, whoever of them is not answered.
        let four = enter(1);
        assert!(there(&one) && !there(&two) && there(&three) && there(&four));
        let (five, six) = (enter(2), enter(3));
        // Full: where most come from, one goes. The one that was answered has asked a moment ago.
        drop(busy);
        let seven = enter(4);
        assert!(!there(&three) && [&one, &four, &five, &six, &seven].into_iter().all(there));
        // Nobody who is answered gives way.
        let _busy: Vec<_> =
            [&one, &four, &five, &six, &seven].map(|seat| Answering::begin(seat.as_ref().unwrap())).into();
        assert!(enter(5).is_none());
    }

    #[tokio::test]
    async fn t05_who_does_not_read_its_answer_is_let_go_of() {
        use tokio::io::AsyncWriteExt as _;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut attended = Attended { stream, stalled: Some(Box::pin(sleep(Duration::from_millis(100)))) };
        // As many bytes as the system's buffers take start the wait anew; the last one is not taken.
        let error = loop {
            let written = timeout(Duration::from_millis(300), attended.write_all(&[0; 65_536])).await;
            match written {
                Ok(Ok(())) => {}
                Ok(Err(error)) => break error,
                Err(_) => attended.stalled = Some(Box::pin(sleep(Duration::from_millis(100)))),
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
