//! The listener: mutual TLS with exactly one client certificate, a thread for each of a few connections, and one question
//! at a time for the core.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// Closes keys whose windows end, for ever.
pub fn tick(core: &Mutex<Core>) {
    loop {
        std::thread::sleep(TICK);
        if let Err(refused) = core.lock().unwrap_or_else(PoisonError::into_inner).tick(now()) {
            eprintln!("closing keys: {}: {}", refused.code, refused.reason);
        }
    }
}

/// Serves for ever.
pub fn serve(listener: &TcpListener, config: &Arc<ServerConfig>, core: &Arc<Mutex<Core>>) -> Result<(), ServerError> {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let (stream, _) = listener.accept()?;
        if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (config, core, open) = (Arc::clone(config), Arc::clone(core), Arc::clone(&open));
        std::thread::spawn(move || {
            if let Err(error) = converse(stream, config, &core) {
                eprintln!("a connection ended: {error}");
            }
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn converse(stream: TcpStream, config: Arc<ServerConfig>, core: &Mutex<Core>) -> Result<(), FrameError> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
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
