//! Who looks at a page: the session behind the cookie, and how problems are shown.

use askama::Template;
use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use policy::{Action, Operator, permitted};
use serde::de::DeserializeOwned;
use store::SessionRow;
use types::OperatorId;

use crate::api::{App, visitor};
use crate::custody::{Visitor, now};
use crate::problem::Problem;

/// The cookie: for this host alone, over TLS (or localhost), out of reach of scripts, never sent by other sites.
const COOKIE: &str = "__Host-claviger";

/// Somebody who is signed in.
pub struct Person {
    /// Who.
    pub id: OperatorId,
    /// As the charter has them now.
    pub operator: Operator,
    /// The session.
    pub session: SessionRow,
}

impl Person {
    /// Whether the roles of this person allow something.
    pub fn may(&self, action: Action) -> bool {
        permitted(&self.operator.roles, action)
    }
}

/// A problem as a page, or for our script as JSON; without a session, the way to sign in.
#[derive(Debug)]
pub struct Shown(pub Problem);

impl<E: Into<Problem>> From<E> for Shown {
    fn from(error: E) -> Shown {
        Shown(error.into())
    }
}

/// What a page outside the frame shows.
pub enum Alone {
    /// Signing in.
    SignIn,
    /// Enrolling.
    Enrol,
    /// A link that somebody is to be handed.
    Link {
        /// For whom.
        operator: String,
        /// The link.
        link: String,
        /// Its end.
        expires: String,
    },
    /// Something that went wrong.
    Problem {
        /// HTTP status.
        status: u16,
        /// In words.
        detail: String,
        /// The charter's reasoning.
        explanation: Vec<String>,
    },
}

#[derive(Template)]
#[template(path = "alone.html")]
struct AlonePage<'a> {
    title: &'a str,
    relying_party: &'a str,
    page: Alone,
}

/// A page outside the frame.
pub fn alone(title: &str, relying_party: &str, page: Alone) -> Response {
    render(&AlonePage { title, relying_party, page })
}

/// A page's text.
pub fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => Problem::new(500, "page", error.to_string()).into_response(),
    }
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let Shown(problem) = self;
        if problem.status == 401 {
            return Redirect::to("/console/sign-in").into_response();
        }
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let page = Alone::Problem { status: problem.status, detail: problem.detail, explanation: problem.explanation };
        (status, alone("That did not work", "", page)).into_response()
    }
}

/// The cookie's value, if it is there.
pub fn secret(head: &Parts) -> Option<String> {
    let cookies = head.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// Sets the cookie; an empty secret takes it away.
pub fn cookie(secret: &str) -> Option<HeaderValue> {
    let end = if secret.is_empty() { "; Max-Age=0" } else { "" };
    HeaderValue::from_str(&format!("{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict{end}")).ok()
}

/// A form as it was sent; one that cannot be read is a page in plain words, like every other problem.
pub struct Sent<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Sent<T> {
    type Rejection = Shown;

    async fn from_request(request: Request, app: &App) -> Result<Sent<T>, Shown> {
        match Form::<T>::from_request(request, app).await {
            Ok(Form(form)) => Ok(Sent(form)),
            Err(rejection) => Err(Problem::invalid("form", format!("the form cannot be read: {rejection}")).into()),
        }
    }
}

/// A page that is not there.
pub async fn nowhere() -> Shown {
    Shown(Problem::not_found("page"))
}

/// From where a request comes.
pub struct Caller(pub Visitor);

impl FromRequestParts<App> for Caller {
    type Rejection = Shown;

    async fn from_request_parts(head: &mut Parts, app: &App) -> Result<Caller, Shown> {
        Ok(Caller(visitor(app, head)))
    }
}

impl FromRequestParts<App> for Person {
    type Rejection = Shown;

    async fn from_request_parts(head: &mut Parts, app: &App) -> Result<Person, Shown> {
        let secret = secret(head).ok_or_else(|| Problem::new(401, "session", "sign in"))?;
        let session = app.session(&secret, &visitor(app, head), now()).await?;
        let operator = app.operator(&session.operator, now())?.clone();
        Ok(Person { id: operator.id.clone(), operator, session })
    }
}
