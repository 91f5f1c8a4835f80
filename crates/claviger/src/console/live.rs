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
    let changes = stream::unfold((app, person.session, 0), |(app, session, told)| async move {
        loop {
            if app.ending() || !app.lasts(&session, crate::custody::now()).await {
                return None;
            }
            match app.store.last_event().await {
                Ok(newest) if newest != told => {
                    let event = Event::default().event("change").data(newest.to_string());
                    return Some((Ok(event), (app, session, newest)));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    });
    Sse::new(changes).keep_alive(KeepAlive::default())
}
