//! The HTTP interfaces: one listener for customers, another for operators, with one way to sign, to fail and to page.
//!
//! Trusted with nothing that moves coins: what it lets through, signers check again.

mod answers;
mod auth;
mod customer;
mod docs;
mod health;
mod keys;
mod limits;
mod operator;
mod people;
mod respond;
mod signing;

pub use answers::{BalanceAnswer, PageQuery, cursor};
pub use auth::visitor;
pub use keys::{KeyAnswer, KeysAnswer, ask_keys};
pub use signing::{SignerAnswer, ask_signers};

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Outcome;
use crate::custody::Custody;

/// What handlers share.
pub type App = Arc<Custody>;

/// Binds a listener; the address says which port was taken.
pub async fn bind(address: SocketAddr) -> Outcome<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.map_err(|error| format!("{address}: {error}"))?;
    let bound = listener.local_addr().map_err(|error| error.to_string())?;
    Ok((listener, bound))
}

/// Answers customers until `stop`.
pub async fn serve_customers(listener: TcpListener, app: App, stop: watch::Receiver<bool>) -> Outcome {
    serve(listener, customer::router(app.clone()), app, stop).await
}

/// Answers operators until `stop`.
pub async fn serve_operators(listener: TcpListener, app: App, stop: watch::Receiver<bool>) -> Outcome {
    let router = operator::router(app.clone()).merge(crate::console::router(app.clone()));
    serve(listener, router, app, stop).await
}

async fn serve(listener: TcpListener, router: Router, app: App, mut stop: watch::Receiver<bool>) -> Outcome {
    let router = router
        .merge(health::router(app))
        .fallback(respond::nothing_here)
        .layer(middleware::from_fn(respond::with_request_id));
    let ended = async move {
        // An error means that the sender is gone: as good as a stop.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router).with_graceful_shutdown(ended).await.map_err(|error| error.to_string())
}
