//! Rows about people on both engines: what is written comes back, and what may happen once happens once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

use store::{
    ApprovalRow, CommitError, CredentialRow, EnrolmentRow, Event, Move, ProposalRow, SessionRow, Statement, Store,
    WebhookRow,
};
use testkit::Postgres;
use types::{Digest, Moment};

fn at(seconds: i64) -> Moment {
    Moment::from_seconds(seconds)
}

fn secret(number: u8) -> Digest {
    Digest::from_bytes([number; 32])
}

async fn run(store: &Store, statement: Statement) -> Result<(), CommitError> {
    store.commit(Move::new(at(1)).run(statement)).await.map(|_| ())
}

async fn passkeys_and_sessions(store: &Store) {
    let key = CredentialRow {
        id: "key".to_owned(),
        operator: "olga".to_owned(),
        public_key: vec![2; 33],
        device_bound: true,
        created: at(5),
        revoked: None,
    };
    run(store, key.insert()).await.unwrap();
    assert!(matches!(run(store, key.insert()).await, Err(CommitError::Constraint)));
    assert_eq!(store.credential("key").await.unwrap(), Some(key.clone()));
    assert_eq!(store.credential("other").await.unwrap(), None);
    let link = EnrolmentRow {
        secret: secret(1),
        operator: "olga".to_owned(),
        invited_by: "ada".to_owned(),
        created: at(5),
        expires: at(9),
        used: None,
    };
    run(store, link.insert()).await.unwrap();
    assert_eq!(store.enrolment(secret(1)).await.unwrap(), Some(link.clone()));
    run(store, link.take(at(6))).await.unwrap();
    assert!(matches!(run(store, link.take(at(7))).await, Err(CommitError::Stale)), "a link works once");
    assert_eq!(store.enrolment(secret(1)).await.unwrap().unwrap().used, Some(at(6)));
    let session = SessionRow {
        secret: secret(2),
        operator: "olga".to_owned(),
        credential: "key".to_owned(),
        terminal: "a browser".to_owned(),
        source: "127.0.0.1".to_owned(),
        created: at(5),
        seen: at(5),
        expires: at(50),
        ended: None,
    };
    run(store, session.insert()).await.unwrap();
    run(store, session.touch(at(8))).await.unwrap();
    assert_eq!(store.session(secret(2)).await.unwrap().unwrap().seen, at(8));
    for name in ["omar", "omar", "oona"] {
        run(store, Statement::report_lost("key", name, at(9))).await.unwrap();
    }
    assert_eq!(store.reported_lost("key").await.unwrap(), ["omar", "oona"]);
    run(store, Statement::revoke_credential("key", at(10))).await.unwrap();
    run(store, Statement::end_sessions_of("key", at(10))).await.unwrap();
    assert_eq!(store.credentials().await.unwrap(), [CredentialRow { revoked: Some(at(10)), ..key }]);
    assert_eq!(store.sessions(5).await.unwrap()[0].ended, Some(at(10)));
}

async fn proposals_and_destinations(store: &Store) {
    let proposal = ProposalRow {
        id: "pr-1".to_owned(),
        kind: "unfreeze".to_owned(),
        text: "{}".to_owned(),
        digest: secret(3),
        requester: "operator:olga".to_owned(),
        state: "open".to_owned(),
        outcome: String::new(),
        created: at(5),
        updated: at(5),
    };
    run(store, proposal.insert()).await.unwrap();
    let approval = ApprovalRow { operator: "omar".to_owned(), signature: "signed".to_owned(), created: at(6) };
    run(store, approval.insert("pr-1")).await.unwrap();
    assert_eq!(store.approvals("pr-1").await.unwrap(), [approval]);
    let done = ProposalRow { state: "done".to_owned(), outcome: "done".to_owned(), updated: at(7), ..proposal };
    run(store, done.update()).await.unwrap();
    assert!(matches!(run(store, done.update()).await, Err(CommitError::Stale)), "it is done once");
    assert_eq!(store.proposal("pr-1").await.unwrap(), Some(done.clone()));
    assert_eq!(store.proposals(10).await.unwrap(), [done]);
    for since in [5, 6] {
        run(store, Statement::enter_address("alice", "bcrt1qexample", at(since))).await.unwrap();
    }
    let book = store.address_book().await.unwrap();
    assert_eq!((book.len(), book[0].since), (1, at(5)), "the wait began the first time");
}

async fn events_and_figures(store: &Store) {
    assert_eq!(store.last_event().await.unwrap(), 0);
    let mut step =
        Move::new(at(3)).audit("operator:olga", "tested", "pr-1", "words").audit("system", "tested", "b", "");
    step.events.push(Event { kind: "tested".to_owned(), subject: "b".to_owned(), body: "{}".to_owned() });
    store.commit(step).await.unwrap();
    assert_eq!(store.last_event().await.unwrap(), 1);
    let row = WebhookRow {
        url: "https://example.com".to_owned(),
        delivered: 0,
        failures: 0,
        next_at: at(3),
        problem: String::new(),
        updated: at(3),
    };
    run(store, row.put()).await.unwrap();
    let next = WebhookRow { delivered: 1, ..row.clone() };
    run(store, next.advance(0)).await.unwrap();
    assert!(matches!(run(store, next.advance(0)).await, Err(CommitError::Stale)), "a replay goes before");
    assert_eq!(store.webhook(&row.url).await.unwrap(), Some(next));
    run(store, row.put()).await.unwrap();
    assert_eq!(store.webhook(&row.url).await.unwrap(), Some(row));
    let about = |words: &'static str| async move {
        let entries = store.audit_before(u64::MAX, words, 10).await.unwrap();
        entries.into_iter().map(|entry| entry.draft.actor).collect::<Vec<_>>()
    };
    assert_eq!(about("pr-1").await, ["operator:olga"]);
    assert_eq!(about("operator:olga").await, ["operator:olga"]);
    assert!(about("").await.len() >= 2);
    assert_eq!(store.paid_before("bcrt1qexample").await.unwrap(), (0, None));
    assert!(store.credited_since(at(0)).await.unwrap().is_empty());
    assert!(store.paid_out_since(at(0)).await.unwrap().is_empty());
    assert!(store.newest_addresses(10).await.unwrap().is_empty());
}

#[test]
fn rows_about_people_come_back_from_both_engines() {
    let directory = tempfile::tempdir().unwrap();
    let postgres = Postgres::start().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for url in [format!("sqlite:{}/people.db", directory.path().display()), postgres.url()] {
        runtime.block_on(async {
            let store = Store::open(&url).await.unwrap();
            events_and_figures(&store).await;
            passkeys_and_sessions(&store).await;
            proposals_and_destinations(&store).await;
        });
    }
}
