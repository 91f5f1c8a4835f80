//! Signing in and out, and enrolling a passkey.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::{Deserialize, Serialize};

use super::visit::{Alone, Caller, Person, Shown, alone, cookie};
use crate::api::App;
use crate::custody::now;
use crate::problem::Problem;

pub async fn sign_in(State(app): State<App>) -> Response {
    alone("Sign in", &app.charter.relying_party.id, Alone::SignIn)
}

pub async fn enrol(State(app): State<App>) -> Response {
    alone("Make your passkey", &app.charter.relying_party.id, Alone::Enrol)
}

#[derive(Serialize)]
pub struct Challenge {
    challenge: String,
}

pub async fn begin_sign_in(State(app): State<App>, Caller(visitor): Caller) -> Result<Json<Challenge>, Problem> {
    Ok(Json(Challenge { challenge: app.challenge(&visitor, now())?.to_string() }))
}

#[derive(Deserialize)]
pub struct SignInBody {
    challenge: String,
    assertion: String,
}

#[derive(Deserialize)]
struct Named {
    credential: String,
}

pub async fn finish_sign_in(
    State(app): State<App>,
    Caller(visitor): Caller,
    Json(wanted): Json<SignInBody>,
) -> Result<Response, Problem> {
    let challenge =
        wanted.challenge.parse().map_err(|_| Problem::invalid("challenge", "this is no challenge of ours"))?;
    let named: Named = serde_json::from_str(&wanted.assertion)
        .map_err(|_| Problem::invalid("assertion", "this is no assertion of a passkey"))?;
    let secret = app.sign_in(&challenge, &named.credential, &wanted.assertion, &visitor, now()).await?;
    let mut response = Json(serde_json::json!({})).into_response();
    if let Some(cookie) = cookie(&secret) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

pub async fn sign_out(State(app): State<App>, person: Person) -> Result<Response, Shown> {
    app.sign_out(&person.session, now()).await?;
    let mut response = Redirect::to("/console/sign-in").into_response();
    if let Some(cookie) = cookie("") {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

#[derive(Deserialize)]
pub struct LinkBody {
    secret: String,
}

#[derive(Serialize)]
pub struct Enrolment {
    challenge: String,
    operator: String,
}

pub async fn begin_enrolment(
    State(app): State<App>,
    Caller(visitor): Caller,
    Json(link): Json<LinkBody>,
) -> Result<Json<Enrolment>, Problem> {
    let (row, challenge) = app.invitation(&link.secret, &visitor, now()).await?;
    Ok(Json(Enrolment { challenge: challenge.to_string(), operator: row.operator }))
}

#[derive(Deserialize)]
pub struct RegistrationBody {
    secret: String,
    registration: String,
}

#[derive(Serialize)]
pub struct Enrolled {
    credential: String,
}

pub async fn finish_enrolment(
    State(app): State<App>,
    Caller(visitor): Caller,
    Json(wanted): Json<RegistrationBody>,
) -> Result<Json<Enrolled>, Problem> {
    let row = app.enrol(&wanted.secret, &wanted.registration, &visitor, now()).await?;
    Ok(Json(Enrolled { credential: row.id }))
}
