//! The HTTP interfaces: one listener for customers, another for operators, with one way to sign, to fail and to page.
//!
//! Trusted with nothing that moves coins: what it lets through, signers check again.

mod answers;
mod auth;
mod carried;
mod customer;
mod docs;
mod health;
mod keys;
mod limits;
mod listener;
mod operator;
mod people;
mod respond;
mod signing;

pub use answers::{BalanceAnswer, PageQuery, cursor};
pub use auth::visitor;
pub use carried::standing;
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
    let router = customer::router(app.clone()).merge(health::alive(app.clone()));
    serve(listener, router, limits::BODY_MAX, app, stop).await
}

/// Answers operators until `stop`.
pub async fn serve_operators(listener: TcpListener, app: App, stop: watch::Receiver<bool>) -> Outcome {
    let router = operator::router(app.clone()).merge(crate::console::router(app.clone()));
    serve(listener, router.merge(health::router(app.clone())), limits::CONSOLE_BODY_MAX, app, stop).await
}

async fn serve(
    listener: TcpListener,
    router: Router,
    body_max: usize,
    app: App,
    stop: watch::Receiver<bool>,
) -> Outcome {
    let proxy = app.config.console.behind_proxy;
    let router = router
        .fallback(respond::nothing_here)
        .layer(middleware::from_fn_with_state(body_max, listener::gather))
        .layer(middleware::from_fn_with_state(app, auth::remember_visitor))
        .layer(middleware::from_fn(respond::with_request_id));
    // A proxy has many connections, of which it is the one source.
    let of_one_source = if proxy { limits::CONNECTIONS_MAX } else { limits::CONNECTIONS_OF_SOURCE_MAX };
    listener::answer(listener, router, of_one_source, stop).await;
    Ok(())
}
