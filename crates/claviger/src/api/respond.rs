//! Answers that went wrong, as problem details (RFC 9457) with the request's id.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;

/// A problem as it goes out (`application/problem+json`, RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct ProblemBody {
    /// Names the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// HTTP status.
    status: u16,
    /// Stable code for programs.
    code: String,
    /// What is wrong, and what to do about it.
    detail: String,
    /// The charter's reasoning, one line per rule that was looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    explanation: Vec<String>,
    /// Names this request in our logs.
    request_id: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        // Spelled out further outside, where the request's id is known.
        response.extensions_mut().insert(self);
        response
    }
}

/// For paths that lead nowhere.
pub async fn nothing_here() -> Problem {
    Problem::new(404, "not-found", "there is nothing at this path; /docs lists what there is")
}

/// Gives each request an id, and each problem its words.
pub async fn with_request_id(request: Request, next: Next) -> Response {
    let mut bytes = [0; 8];
    // Without randomness an id that repeats is better than no answer.
    let _ = getrandom::fill(&mut bytes);
    let id = hex::encode(bytes);
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = spelled(problem, &id);
    } else if response.status().is_client_error() && !response.headers().contains_key(header::CONTENT_TYPE) {
        let detail = "this path does not take this method";
        response = spelled(Problem::new(response.status().as_u16(), "method", detail), &id);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn spelled(problem: Problem, id: &str) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = ProblemBody {
        kind: format!("urn:claviger:problem:{}", problem.code),
        status: problem.status,
        code: problem.code.to_owned(),
        detail: problem.detail,
        explanation: problem.explanation,
        request_id: id.to_owned(),
    };
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}
