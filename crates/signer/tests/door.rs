//! The way to a freeze stays open: real connections against the real listener.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::processes::{Fleet, Process, identity};
use signer_client::{CallError, ClientIdentity, SignerClient};
use signer_wire::{ReplyBody, RequestBody};
use types::RefusalCode;

/// How long a freeze may take here; it is far quicker, but the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(10);

fn freeze(client: SignerClient, latch: &str) {
    let mut client = client.with_patience(PATIENCE);
    let begun = Instant::now();
    let question = RequestBody::Freeze { latch: latch.to_owned(), reason: "thieves".to_owned() };
    // From the strangers' own address a handshake can be driven out like theirs; who freezes tries again.
    let outcome = loop {
        match client.call(question.clone()) {
            Err(CallError::Unreachable(..)) if begun.elapsed() < PATIENCE => {}
            outcome => break outcome,
        }
    };
    println!("a freeze took {:?}", begun.elapsed());
    assert!(matches!(outcome, Ok(ReplyBody::Done)), "{outcome:?}");
    // On the same connection, which has a place now that strangers do not take.
    let Ok(ReplyBody::Hello { latches, .. }) = client.call(RequestBody::Hello) else { panic!("no hello") };
    assert!(latches.contains(&latch.to_owned()), "{latches:?}");
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect_timeout(&address, PATIENCE).unwrap()
}

#[test]
fn t05_five_hundred_strangers_do_not_keep_a_freeze_out() {
    let fleet = Fleet::start();
    let address = fleet.processes[0].address;
    let idle: Vec<_> = (0..500).map(|_| connect(address)).collect();
    freeze(fleet.client(0), "all");
    // Strangers who come again and again, each with half a handshake.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut held = std::collections::VecDeque::new();
                while !over.load(Ordering::SeqCst) {
                    let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) else { continue };
                    let _ = stream.write_all(&[22, 3, 1, 2, 0]);
                    held.push_back(stream);
                    if held.len() > 10 {
                        held.pop_front();
                    }
                }
            });
        }
        let outcome = std::panic::catch_unwind(|| freeze(fleet.client(0), "wallet:hot"));
        over.store(true, Ordering::SeqCst);
        outcome.unwrap();
    });
    drop(idle);
}

#[test]
fn t05_idle_connections_with_the_online_certificate_do_not_keep_a_freeze_out() {
    let fleet = Fleet::start();
    let mut idle: Vec<_> = (0..64).map(|_| fleet.client(0)).collect();
    for client in &mut idle {
        assert!(matches!(client.call(RequestBody::Hello), Ok(ReplyBody::Hello { .. })), "a newcomer comes in");
    }
    freeze(fleet.client(0), "all");
    // The newest are still there, and the oldest gave way: they come back when they ask again.
    assert!(matches!(idle[63].call(RequestBody::Hello), Ok(ReplyBody::Hello { .. })));
    assert!(matches!(idle[0].call(RequestBody::Hello), Err(CallError::Unreachable(..))));
    assert!(matches!(idle[0].call(RequestBody::Hello), Ok(ReplyBody::Hello { .. })));
}

#[test]
fn a_stranger_who_sends_drop_by_drop_is_gone_when_the_time_for_a_handshake_is_over() {
    let fleet = Fleet::start();
    let mut stream = connect(fleet.processes[0].address);
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let begun = Instant::now();
    // A record of 512 bytes, one at a time.
    let drops = [22, 3, 1, 2, 0].into_iter().chain(std::iter::repeat(1));
    for byte in drops {
        let mut answer = [0; 16];
        let open = stream.write_all(&[byte]).is_ok()
            && matches!(stream.read(&mut answer), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
        if !open {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the connection stays");
    }
}

#[test]
fn t05_a_certificate_that_only_freezes_does_nothing_else_and_has_places_of_its_own() {
    let mut fleet = Fleet::start();
    let own = identity();
    std::fs::write(fleet.directories[0].path().join("freeze.crt"), &own.certificate).unwrap();
    fleet.processes[0].kill();
    fleet.processes[0] = Process::start(fleet.directories[0].path(), &[]);
    let client = |identity: &ClientIdentity| {
        SignerClient::new(fleet.processes[0].address, &fleet.enrolments[0].certificate, identity).unwrap()
    };
    let mut freezer = client(&own);
    let recall = RequestBody::Recall { signer: "s2".to_owned(), nonce: "aa".to_owned() };
    for refused in [recall.clone(), RequestBody::Canary { challenge: "now".to_owned() }] {
        let outcome = freezer.call(refused);
        assert!(
            matches!(&outcome, Err(CallError::Refused(refusal)) if refusal.code == RefusalCode::FreezeOnly),
            "{outcome:?}"
        );
    }
    assert!(matches!(freezer.call(RequestBody::Board), Ok(ReplyBody::Board { .. })));
    assert!(matches!(freezer.call(RequestBody::Exposure), Ok(ReplyBody::Exposure(_))));
    // The online system's connections come and go, and this one stays where it is.
    let mut others: Vec<_> = (0..20).map(|_| client(&fleet.identity)).collect();
    for other in &mut others {
        assert!(matches!(other.call(recall.clone()), Ok(ReplyBody::Statement(_))));
    }
    freeze(freezer, "all");
    let mut stranger = client(&identity());
    assert!(matches!(stranger.call(RequestBody::Hello), Err(CallError::Unreachable(..))));
}
