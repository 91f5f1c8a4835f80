//! The listener: mutual TLS with exactly one client certificate, a thread for each of a few connections, and one question
//! at a time for the core.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use signer_wire::{FrameError, Refusal, Reply, ReplyBody, Request, VERSION, decode, encode, read_frame, write_frame};
use types::Moment;

use crate::core::Core;
use crate::enrol::{Enrolment, files};

/// The most connections at once; further ones are closed.
const CONNECTIONS_MAX: usize = 16;
/// The most connections whose certificate is not known yet; further ones are closed. Strangers fill these, and not the others.
const STRANGERS_MAX: usize = 64;
/// How long a stranger may take to show a certificate.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(120);

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

/// Reads certificate, key and the pinned client certificate from the signer's directory.
pub fn tls(directory: &Path, enrolment: &Enrolment) -> Result<Arc<ServerConfig>, ServerError> {
    let pem = |name: &str| ServerError::Pem(directory.join(name));
    let certificate =
        CertificateDer::from_pem_slice(enrolment.certificate.as_bytes()).map_err(|_| pem(files::ENROLMENT))?;
    let key = PrivateKeyDer::from_pem_file(directory.join(files::TLS_KEY)).map_err(|_| pem(files::TLS_KEY))?;
    let client = CertificateDer::from_pem_file(directory.join(files::CLIENT)).map_err(|_| pem(files::CLIENT))?;
    let mut roots = RootCertStore::empty();
    roots.add(client).map_err(|error| ServerError::Pin(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| ServerError::Pin(error.to_string()))?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)?;
    Ok(Arc::new(config))
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
pub fn serve(listener: &TcpListener, config: &Arc<ServerConfig>, core: &Arc<Mutex<Core>>) -> Result<(), ServerError> {
    let (strangers, known) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // A connection that broke at once, or too many open files: the keys stay open, and others are answered.
            Err(error) => {
                eprintln!("a connection was not taken: {error}");
                std::thread::sleep(TICK);
                continue;
            }
        };
        let Some(stranger) = Place::take(&strangers, STRANGERS_MAX) else { continue };
        let (config, core, known) = (Arc::clone(config), Arc::clone(core), Arc::clone(&known));
        std::thread::spawn(move || {
            let outcome = introduce(stream, config).and_then(|stream| {
                drop(stranger);
                match Place::take(&known, CONNECTIONS_MAX) {
                    Some(_place) => converse(stream, &core),
                    None => Ok(()),
                }
            });
            if let Err(error) = outcome {
                eprintln!("a connection ended: {error}");
            }
        });
    }
}

/// A place among a bounded number of connections; given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Place> {
        let place = Place(Arc::clone(taken));
        (taken.fetch_add(1, Ordering::SeqCst) < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Shakes hands within a time that drops of bytes do not lengthen; only the pinned certificate comes through.
fn introduce(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
) -> Result<StreamOwned<ServerConnection, TcpStream>, FrameError> {
    stream.set_read_timeout(Some(HANDSHAKE))?;
    stream.set_write_timeout(Some(HANDSHAKE))?;
    stream.set_nodelay(true)?;
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let begun = Instant::now();
    while connection.is_handshaking() {
        if begun.elapsed() > HANDSHAKE {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
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
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    Ok(StreamOwned::new(connection, stream))
}

fn converse(mut stream: StreamOwned<ServerConnection, TcpStream>, core: &Mutex<Core>) -> Result<(), FrameError> {
    while let Some(frame) = read_frame(&mut stream)? {
        let body = answer(&frame, core);
        write_frame(&mut stream, &encode(&Reply { version: VERSION, body })?)?;
    }
    Ok(())
}

fn answer(frame: &[u8], core: &Mutex<Core>) -> ReplyBody {
    let refused =
        |code: &str, reason: String| ReplyBody::Refused(Refusal { code: code.to_owned(), reason, retry: false });
    let request: Request = match decode(frame) {
        Ok(request) => request,
        Err(error) => return refused("message", error.to_string()),
    };
    if request.version != VERSION {
        return refused("version", format!("this signer speaks version {VERSION}"));
    }
    // Every change of the core's memory follows a record of the journal, so a panic half way leaves nothing to repair.
    let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
    let reply = core.handle(&request.body, now());
    if let ReplyBody::Refused(refusal) = &reply {
        eprintln!("refused {}: {}", refusal.code, refusal.reason);
    }
    reply
}

/// The system's time.
pub fn now() -> Moment {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_micros());
    Moment::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}
