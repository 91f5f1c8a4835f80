//! Live pages: says when something has changed; what has changed the page asks for itself.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};

use super::visit::Person;
use crate::api::App;

/// How often we look.
const LOOK: Duration = Duration::from_millis(500);

/// Sends the number of the newest event whenever it grows, as long as the session lasts.
pub async fn stream(State(app): State<App>, person: Person) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let until = person.session.expires;
    let changes = stream::unfold((app, 0), move |(app, told)| async move {
        loop {
            if crate::custody::now() >= until || app.ending() {
                return None;
            }
            match app.store.last_event().await {
                Ok(newest) if newest != told => {
                    let event = Event::default().event("change").data(newest.to_string());
                    return Some((Ok(event), (app, newest)));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    });
    Sse::new(changes).keep_alive(KeepAlive::default())
}
