use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use signer_wire::{
    FrameError, Refusal, Reply, ReplyBody, Request, RequestBody, VERSION, decode, encode, read_frame, write_frame,
};

/// The name in every signer's certificate; the certificate itself is pinned.
const SERVER_NAME: &str = "claviger-signer";
/// How long a signer may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The online system's certificate and private key (PEM).
#[derive(Clone)]
pub struct ClientIdentity {
    /// Certificate.
    pub certificate: String,
    /// Private key. Not shown by `Debug`.
    pub key: String,
}

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}

/// Why a signer did not answer a question with what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// A certificate or key has no form.
    #[error("a certificate or key cannot be used: {0}")]
    Identity(String),
    /// The signer cannot be reached or broke off; asking again can help.
    #[error("the signer at {0} does not answer")]
    Unreachable(SocketAddr, #[source] FrameError),
    /// The signer refused, by name.
    #[error("refused ({}): {}", .0.code, .0.reason)]
    Refused(Refusal),
    /// The signer answered something else.
    #[error("the signer answered something else than was asked")]
    Unexpected,
}

impl CallError {
    /// Whether asking again, unchanged, can help.
    pub const fn retry(&self) -> bool {
        match self {
            CallError::Unreachable(..) => true,
            CallError::Refused(refusal) => refusal.retry(),
            CallError::Identity(_) | CallError::Unexpected => false,
        }
    }
}

/// One signer, connected when first asked and again after a break.
pub struct SignerClient {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    patience: Duration,
    stream: Option<StreamOwned<ClientConnection, TcpStream>>,
}

impl SignerClient {
    /// A client of the signer at `address` that presents exactly `certificate` (PEM).
    pub fn new(address: SocketAddr, certificate: &str, identity: &ClientIdentity) -> Result<SignerClient, CallError> {
        let wrong = |error: &dyn std::fmt::Display| CallError::Identity(error.to_string());
        let pinned = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|error| wrong(&error))?;
        let own = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).map_err(|error| wrong(&error))?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|error| wrong(&error))?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned).map_err(|error| wrong(&error))?;
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| wrong(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![own], key)
            .map_err(|error| wrong(&error))?;
        Ok(SignerClient { address, config: Arc::new(config), patience: PATIENCE, stream: None })
    }

    /// Waits at most so long for each step of an answer, instead of half a minute: for questions that somebody waits for.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> SignerClient {
        SignerClient { patience, stream: None, ..self }
    }

    /// Asks one question. A refusal is an error; so is silence.
    pub fn call(&mut self, body: RequestBody) -> Result<ReplyBody, CallError> {
        let address = self.address;
        let outcome = self.exchange(body);
        if outcome.is_err() {
            self.stream = None;
        }
        match outcome.map_err(|error| CallError::Unreachable(address, error))? {
            ReplyBody::Refused(refusal) => Err(CallError::Refused(refusal)),
            body => Ok(body),
        }
    }

    fn exchange(&mut self, body: RequestBody) -> Result<ReplyBody, FrameError> {
        let content = encode(&Request { version: VERSION, body })?;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        write_frame(&mut stream, &content)?;
        let broken = || FrameError::Connection(io::ErrorKind::UnexpectedEof.into());
        let reply: Reply = decode(&read_frame(&mut stream)?.ok_or_else(broken)?)?;
        if reply.version != VERSION {
            return Err(FrameError::Message(format!("version {}", reply.version)));
        }
        self.stream = Some(stream);
        Ok(reply.body)
    }

    fn connect(&self) -> Result<StreamOwned<ClientConnection, TcpStream>, FrameError> {
        let stream = TcpStream::connect_timeout(&self.address, self.patience)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, stream))
    }
}
