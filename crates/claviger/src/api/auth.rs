//! Who is asking: every request is signed (RFC 9421, Ed25519) over method, path, body and idempotency key.
//!
//! Reads can be replayed by whoever recorded them within minutes, to nobody's use but a reader's; everything that changes
//! something carries an idempotency key, so that its replay is answered with what was done the first time.

use std::net::{IpAddr, SocketAddr};

use axum::body::to_bytes;
use axum::extract::{ConnectInfo, FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use policy::Action;
use policy::http_signature::{Parameters, Parts as SignedParts, verify};
use serde::de::DeserializeOwned;
use types::{CustomerId, CustomerRequest, OperatorId, Party};

use super::App;
use super::limits::{BODY_MAX, LIFETIME_SECONDS_MAX, SKEW_SECONDS};
use crate::custody::{Visitor, now};
use crate::problem::Problem;

/// A request whose signature holds.
pub struct Signed {
    party: Party,
    visitor: Visitor,
    /// The request as it came.
    pub request: CustomerRequest,
}

/// A request of a customer.
pub struct ByCustomer {
    /// Who.
    pub customer: CustomerId,
    /// The request as it came.
    pub request: CustomerRequest,
}

/// A request of an operator whose grant holds, from where and when their roles may come.
pub struct ByOperator {
    /// Who.
    pub operator: OperatorId,
    /// The request as it came.
    pub request: CustomerRequest,
}

impl ByOperator {
    /// Lets an action through, or refuses it by the caller's roles.
    pub async fn may(&self, app: &App, action: Action) -> Result<(), Problem> {
        app.allow(&self.operator, action, now()).await
    }
}

/// From where a request comes: the other end of the connection, or what the proxy in front says if the configuration trusts it.
pub fn visitor(app: &App, head: &Parts) -> Visitor {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let named = || text("x-forwarded-for")?.rsplit(',').next()?.trim().parse().ok();
    let source = if app.config.console.behind_proxy { named() } else { peer };
    let terminal: String =
        text("user-agent").unwrap_or("unknown").chars().filter(|one| !one.is_control()).take(200).collect();
    // Nobody's network: whoever is bound to one is refused.
    Visitor { source: source.unwrap_or(IpAddr::from([0, 0, 0, 0])), terminal }
}

fn header(headers: &HeaderMap, name: &str) -> Result<String, Problem> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.to_str().map(str::to_owned)).transpose();
    match (value, values.next()) {
        (Ok(value), None) => Ok(value.unwrap_or_default()),
        _ => Err(Problem::new(400, "header", format!("the header {name} must stand there once, in plain ASCII"))),
    }
}

impl FromRequest<App> for Signed {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Signed, Problem> {
        let (head, body) = request.into_parts();
        let visitor = visitor(app, &head);
        let body = to_bytes(body, BODY_MAX).await.map_err(|_| {
            Problem::new(413, "body-too-large", format!("a request's body has at most {BODY_MAX} bytes"))
        })?;
        let body = String::from_utf8(body.to_vec()).map_err(|_| Problem::new(400, "body", "the body is not UTF-8"))?;
        let request = CustomerRequest {
            method: head.method.as_str().to_owned(),
            path: head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            idempotency_key: header(&head.headers, "idempotency-key")?,
            content_digest: header(&head.headers, "content-digest")?,
            signature_input: header(&head.headers, "signature-input")?,
            signature: header(&head.headers, "signature")?,
            body,
        };
        let party = authenticate(app, &request).await?;
        if request.method != "GET" && request.idempotency_key.is_empty() {
            return Err(Problem::new(
                400,
                "idempotency-key",
                "send an Idempotency-Key with everything that changes something",
            ));
        }
        Ok(Signed { party, visitor, request })
    }
}

async fn authenticate(app: &App, request: &CustomerRequest) -> Result<Party, Problem> {
    let refused = |detail: String| Problem::new(401, "signature", detail);
    if request.signature_input.is_empty() {
        return Err(refused("sign the request (RFC 9421); /docs says how, and `claviger` does it for you".to_owned()));
    }
    let parameters = Parameters::from_header(&request.signature_input).map_err(|error| refused(error.to_string()))?;
    let unknown = || refused("the signature is not one of a key that we know".to_owned());
    let party = app.store.api_key(&parameters.key_id).await?.ok_or_else(unknown)?;
    let mut key = [0; 32];
    hex::decode_to_slice(&parameters.key_id, &mut key).map_err(|_| unknown())?;
    let parts = SignedParts {
        method: &request.method,
        path: &request.path,
        content_digest: &request.content_digest,
        idempotency_key: &request.idempotency_key,
    };
    verify(&parts, request.body.as_bytes(), &request.signature_input, &request.signature, &key)
        .map_err(|error| refused(error.to_string()))?;
    let now = now();
    if parameters.created > now.plus_seconds(SKEW_SECONDS) {
        return Err(refused("the signature was made in the future; set your clock".to_owned()));
    }
    if parameters.expires <= now || parameters.expires > parameters.created.plus_seconds(LIFETIME_SECONDS_MAX) {
        return Err(refused(format!("the signature has expired, or lives longer than {LIFETIME_SECONDS_MAX} seconds")));
    }
    party.parse().map_err(|_| Problem::new(500, "storage", "the key belongs to nobody"))
}

fn elsewhere(whose: &str) -> Problem {
    Problem::new(403, "wrong-listener", format!("this address answers {whose} only"))
}

impl FromRequest<App> for ByCustomer {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<ByCustomer, Problem> {
        let Signed { party, request, .. } = Signed::from_request(request, app).await?;
        match party {
            Party::Customer(customer) => Ok(ByCustomer { customer, request }),
            Party::Operator(_) => Err(elsewhere("customers")),
        }
    }
}

impl FromRequest<App> for ByOperator {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<ByOperator, Problem> {
        let (head, body) = request.into_parts();
        let from = visitor(app, &head);
        let signed = match Signed::from_request(Request::from_parts(head, body), app).await {
            Ok(signed) => signed,
            Err(problem) => {
                if problem.status == 401 {
                    app.note_stranger("interface", &problem, &from, now()).await;
                }
                return Err(problem);
            }
        };
        let Signed { party, visitor, request } = signed;
        match party {
            Party::Operator(operator) => {
                app.allow(&operator, Action::Read, now()).await?;
                let known = app.operator(operator.as_str(), now())?;
                if let Err(problem) = app.check_restrictions(known, visitor.source, None, now()) {
                    app.note_refusal(operator.as_str(), "interface", &problem, &visitor, now()).await;
                    return Err(problem);
                }
                Ok(ByOperator { operator, request })
            }
            Party::Customer(_) => Err(elsewhere("operators")),
        }
    }
}

/// The request's body, read as JSON.
pub fn body<T: DeserializeOwned>(request: &CustomerRequest) -> Result<T, Problem> {
    serde_json::from_str(&request.body)
        .map_err(|error| Problem::new(400, "body", format!("the body cannot be read: {error}")))
}
