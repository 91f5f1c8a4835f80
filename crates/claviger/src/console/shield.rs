//! What every request to the console passes: where it comes from, and what its answer may do in the browser.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::visit::Shown;
use crate::api::App;
use crate::problem::Problem;

/// Only our own script and style, no inline code, no frames, no markup made by scripts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// Refuses what another site sends, and binds the answer.
pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => Shown(problem).into_response(),
    };
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // With "no-referrer" browsers would send forms of our own without their origin.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let origin = &app.charter.relying_party.origin;
    if origin.is_empty() {
        let detail = "the charter names no relying party, so there are no passkeys and no console; the next charter can name one";
        return Err(Problem::new(503, "no-relying-party", detail));
    }
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Another name that leads here is not the console: a rebound name gets nothing to read.
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    if text("host") != host {
        return Err(Problem::new(421, "wrong-host", format!("the console is at {origin}, and at no other name")));
    }
    let changes = request.method() != Method::GET && request.method() != Method::HEAD;
    let elsewhere = !matches!(text("sec-fetch-site"), "" | "same-origin");
    if changes && (text("origin") != origin || elsewhere) {
        return Err(Problem::new(403, "cross-site", "this was sent by another site, and was not done"));
    }
    Ok(())
}
