//! The books on both engines: durable, all or nothing, once, and found out when somebody else writes into them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

use std::collections::HashMap;

use ledger::{AccountId, Kind, Refusal, Rules, Transfer, TransferId};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::{CommitError, Event, Move, Posting, Statement, Store, StoreError};
use testkit::Postgres;
use types::{Amount, Moment};

/// One engine with an empty database.
enum Engine {
    Sqlite(tempfile::TempDir),
    Postgres(Postgres),
}

impl Engine {
    fn both() -> [Engine; 2] {
        [Engine::Sqlite(tempfile::tempdir().unwrap()), Engine::Postgres(Postgres::start().unwrap())]
    }

    fn url(&self) -> String {
        match self {
            Engine::Sqlite(directory) => format!("sqlite:{}/books.db", directory.path().display()),
            Engine::Postgres(postgres) => postgres.url(),
        }
    }

    /// What somebody with full write access does.
    async fn tamper(&self, sql: &'static str) {
        match self {
            Engine::Sqlite(_) => {
                use sqlx::Connection as _;
                let mut connection =
                    sqlx::SqliteConnection::connect(&self.url().replace("sqlite:", "sqlite://")).await.unwrap();
                for trigger in ["journal_update", "journal_delete", "audit_update", "audit_delete"] {
                    let drop = format!("DROP TRIGGER IF EXISTS {trigger}");
                    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
                }
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            }
            Engine::Postgres(postgres) => {
                postgres.run("GRANT ALL ON ALL TABLES IN SCHEMA public TO claviger").unwrap();
                postgres.run(&sql.replace("X'", "'\\x")).unwrap();
            }
        }
    }
}

const CLAIM: Rules = Rules { debits_bounded: true, credits_bounded: false, frozen: false, closed: false };

fn at(micros: i64) -> Moment {
    Moment::from_micros(micros)
}

fn posting(id: u128, debit: AccountId, credit: AccountId, amount: u128, kind: Kind) -> Posting {
    let transfer = Transfer { id: TransferId(id), debit, credit, amount: Amount::from_units(amount), kind };
    Posting { transfer, cause: format!("cause-{id}") }
}

async fn accounts(store: &Store) -> [AccountId; 2] {
    [
        store.account("wallet:hot", "coin", Rules::default()).await.unwrap(),
        store.account("customer:alice", "coin", CLAIM).await.unwrap(),
    ]
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_step_is_durable_as_a_whole_or_not_at_all() {
    for engine in Engine::both() {
        block_on(async {
            let store = Store::open(&engine.url()).await.unwrap();
            let [wallet, alice] = accounts(&store).await;
            let row = |seq: i64| {
                Statement::new("INSERT INTO outbox (seq, at, kind, subject, body) VALUES ($1, 0, 'k', 's', 'b')")
                    .bind(seq)
            };
            let step = |seq: i64, id, amount| Move {
                postings: vec![posting(id, wallet, alice, amount, Kind::Plain)],
                events: vec![],
                ..Move::new(at(seq)).run(row(seq)).audit("system", "deposit.credited", "x", "detail")
            };
            store.commit(step(1000, 1, 100)).await.unwrap();
            // All of these wait together and go into one commit; each stands for itself.
            let mut bad_last = step(1003, 4, 5);
            bad_last.postings.push(posting(5, alice, wallet, 10_000, Kind::Plain));
            let stale = step(1004, 6, 5).run(Statement::new("UPDATE outbox SET body = 'c' WHERE seq = 99").expect(1));
            let (good, doubled, refused, stale, again) = tokio::join!(
                store.commit(step(1001, 2, 7)),
                store.commit(step(1000, 3, 7)),
                store.commit(bad_last),
                store.commit(stale),
                store.commit(step(1005, 1, 100)),
            );
            assert!(good.is_ok(), "{good:?}");
            assert!(matches!(doubled, Err(CommitError::Constraint)), "{doubled:?}");
            assert!(matches!(refused, Err(CommitError::Ledger(Refusal::InsufficientFunds))), "{refused:?}");
            assert!(matches!(stale, Err(CommitError::Stale)), "{stale:?}");
            assert!(matches!(again, Err(CommitError::Ledger(Refusal::Repeated))), "{again:?}");
            let rows = store.fetch("SELECT seq FROM outbox ORDER BY seq", vec![]).await.unwrap();
            let rows: Vec<i64> = rows.into_iter().map(|mut row| row.int().unwrap()).collect();
            assert_eq!(rows, [1000, 1001]);
            let available = |balances: &[store::Balance]| balances[1].account.available().unwrap().units();
            let before = store.balances().await.unwrap();
            assert_eq!(available(&before), 107);
            assert_eq!(store.verify_books().await.unwrap(), 2);
            drop(store);
            let store = Store::open(&engine.url()).await.unwrap();
            assert_eq!(store.balances().await.unwrap(), before);
            // Names are remembered across restarts.
            let known = store.post(
                at(9),
                vec![posting(1, wallet, alice, 100, Kind::Plain), posting(1, wallet, alice, 9, Kind::Plain)],
            );
            assert_eq!(known.await.unwrap(), [Err(Refusal::Repeated), Err(Refusal::IdTaken)]);
            let event = Event { kind: "k".to_owned(), subject: "s".to_owned(), body: "{}".to_owned() };
            store.commit(Move { events: vec![event], ..Move::new(at(10)) }).await.unwrap();
            let audit = store.fetch("SELECT action FROM audit ORDER BY seq", vec![]).await.unwrap();
            let audit: Vec<String> = audit.into_iter().map(|mut row| row.text().unwrap()).collect();
            assert_eq!(audit, ["deposit.credited", "books.sealed", "deposit.credited", "books.sealed"]);
        });
    }
}

#[test]
fn a_second_writer_takes_over_and_the_first_one_stops() {
    for engine in Engine::both() {
        block_on(async {
            let first = Store::open(&engine.url()).await.unwrap();
            let [wallet, alice] = accounts(&first).await;
            let second = Store::open(&engine.url()).await.unwrap();
            second.post(at(1), vec![posting(1, wallet, alice, 5, Kind::Plain)]).await.unwrap();
            let late = first.post(at(2), vec![posting(2, wallet, alice, 5, Kind::Plain)]).await;
            assert!(matches!(late, Err(CommitError::Fenced)), "{late:?}");
            let later = first.commit(Move::new(at(3)).audit("system", "a", "b", "c")).await;
            assert!(matches!(later, Err(CommitError::Fenced)), "{later:?}");
            assert_eq!(second.verify_books().await.unwrap(), 1);
        });
    }
}

#[test]
fn t07_the_journal_cannot_be_edited_unnoticed() {
    let edits = [
        "UPDATE journal SET amount = X'00000000000000000000000000000009' WHERE seq = 1",
        "UPDATE journal SET cause = 'another' WHERE seq = 2",
        "UPDATE journal SET credit = 2, debit = 1 WHERE seq = 2",
        "DELETE FROM journal WHERE seq = 2",
        "DELETE FROM journal WHERE seq = 1",
        "UPDATE fence SET seal = '0000000000000000000000000000000000000000000000000000000000000000'",
    ];
    let sqlite = |_| Engine::Sqlite(tempfile::tempdir().unwrap());
    let postgres = Engine::Postgres(Postgres::start().unwrap());
    let engines = (0..edits.len() - 1).map(sqlite).chain([postgres]);
    for (engine, edit) in engines.zip(edits) {
        block_on(async {
            let store = Store::open(&engine.url()).await.unwrap();
            let [wallet, alice] = accounts(&store).await;
            let bob = store.account("customer:bob", "coin", CLAIM).await.unwrap();
            store.post(at(1), vec![posting(1, wallet, alice, 5, Kind::Plain)]).await.unwrap();
            store.post(at(2), vec![posting(2, wallet, bob, 5, Kind::Plain)]).await.unwrap();
            store.verify_books().await.unwrap();
            engine.tamper(edit).await;
            let found = store.verify_books().await;
            assert!(matches!(found, Err(StoreError::Seal(_) | StoreError::Corrupt(_))), "{edit}: {found:?}");
        });
    }
}

#[test]
fn t07_the_engine_itself_refuses_to_edit_the_journal_and_the_audit_log() {
    for engine in Engine::both() {
        block_on(async {
            let store = Store::open(&engine.url()).await.unwrap();
            let [wallet, alice] = accounts(&store).await;
            store.post(at(1), vec![posting(1, wallet, alice, 5, Kind::Plain)]).await.unwrap();
            for sql in [
                "UPDATE journal SET cause = 'x'",
                "DELETE FROM journal",
                "UPDATE audit SET detail = 'x'",
                "DELETE FROM audit",
            ] {
                let outcome = store.commit(Move::new(at(2)).run(Statement::new(sql))).await;
                assert!(outcome.is_err(), "{sql}");
            }
            // The writer has recovered from the engine's refusal by itself.
            store.post(at(3), vec![posting(3, wallet, alice, 5, Kind::Plain)]).await.unwrap();
            assert_eq!(store.verify_books().await.unwrap(), 2);
        });
    }
}

#[test]
fn a_newer_schema_and_a_strange_location_are_named() {
    block_on(async {
        assert!(matches!(Store::open("mysql://x").await, Err(StoreError::Location)));
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::Sqlite(directory);
        drop(Store::open(&engine.url()).await.unwrap());
        engine.tamper("INSERT INTO schema_version (version) VALUES (99)").await;
        let outcome = Store::open(&engine.url()).await;
        assert!(matches!(outcome, Err(StoreError::Schema { found: 99, .. })), "{outcome:?}");
    });
}

/// Runs SQL as the one who administers the server; each statement by itself, and the first row of the last as a text.
async fn administer(postgres: &Postgres, statements: &[&'static str]) -> String {
    use sqlx::{Connection as _, Row as _};
    let mut connection = sqlx::PgConnection::connect(&postgres.url().replace("claviger@", "postgres@")).await.unwrap();
    let mut answer = String::new();
    for sql in statements {
        let rows = sqlx::query(*sql).fetch_all(&mut connection).await.unwrap();
        answer = rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or_default();
    }
    answer
}

/// Which setting the store refuses to be opened for, with the words for people.
async fn forgetful(url: &str) -> Option<(&'static str, String)> {
    match Store::open(url).await {
        Ok(_) => None,
        Err(error @ StoreError::Forgetful { setting, .. }) => Some((setting, error.to_string())),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_server_that_may_forget_what_it_confirmed_is_refused_by_name() {
    block_on(async {
        let postgres = Postgres::start().unwrap();
        let url = postgres.url();
        // Whoever sets it, and however it is spelled: by the role, the database or the address.
        for (off, on) in [
            ("ALTER ROLE claviger SET synchronous_commit = off", "ALTER ROLE claviger RESET synchronous_commit"),
            (
                "ALTER DATABASE claviger SET synchronous_commit = 'no'",
                "ALTER DATABASE claviger RESET synchronous_commit",
            ),
        ] {
            postgres.run(off).unwrap();
            let (setting, words) = forgetful(&url).await.expect(off);
            assert_eq!(setting, "synchronous_commit");
            assert!(words.contains("synchronous_commit = on"), "it says what to set: {words}");
            assert_eq!(postgres.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").unwrap().trim(), "0");
            postgres.run(on).unwrap();
        }
        let asked = forgetful(&format!("{url}&options[synchronous_commit]=off")).await;
        assert_eq!(asked.map(|(setting, _)| setting), Some("synchronous_commit"));
        // Every other value waits for the disk of the server itself.
        for value in ["local", "remote_write", "on", "remote_apply"] {
            assert_eq!(forgetful(&format!("{url}&options[synchronous_commit]={value}")).await, None, "{value}");
        }

        // A store that is open already keeps its connection; the next one that it makes is looked at again.
        let store = Store::open(&url).await.unwrap();
        administer(&postgres, &["ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()::text"]).await;
        let start = std::time::Instant::now();
        while administer(&postgres, &["SHOW fsync"]).await != "off" {
            assert!(start.elapsed().as_secs() < 30, "the server has not taken up its settings");
            tokio::task::yield_now().await;
        }
        let (setting, words) = forgetful(&url).await.unwrap();
        assert_eq!(setting, "fsync");
        assert!(words.contains("fsync = on"), "it says what to set: {words}");
        assert!(matches!(store.verify_books().await, Err(StoreError::Forgetful { setting: "fsync", .. })));
        let end = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE usename = 'claviger'";
        administer(&postgres, &[end]).await;
        // The first step after the cut finds the dead connection, the next one makes a new one.
        let _ = store.account("wallet:hot", "coin", Rules::default()).await;
        let refused = store.account("wallet:hot", "coin", Rules::default()).await.unwrap_err();
        assert!(matches!(&refused, CommitError::Storage(words) if words.contains("fsync")), "{refused:?}");
    });
}

/// What a model that only adds and subtracts says: posted and held amounts of each account.
#[derive(Default)]
struct Model {
    balances: HashMap<u32, i128>,
    holds: HashMap<u128, (AccountId, AccountId, u128)>,
    used: Vec<u128>,
}

impl Model {
    fn held(&self, account: AccountId) -> i128 {
        self.holds.values().filter(|hold| hold.0 == account).map(|hold| i128::try_from(hold.2).unwrap()).sum()
    }

    fn take(&mut self, posting: &Posting) -> bool {
        let Transfer { id, debit, credit, amount, kind } = posting.transfer;
        let signed = i128::try_from(amount.units()).unwrap();
        let room = *self.balances.get(&debit.0).unwrap_or(&0) - self.held(debit);
        if self.used.contains(&id.0) || debit == credit {
            return false;
        }
        let moved = match kind {
            Kind::Plain | Kind::Pending if amount.is_zero() || (debit.0 > 0 && room < signed) => return false,
            Kind::Pending => {
                self.holds.insert(id.0, (debit, credit, amount.units()));
                0
            }
            Kind::Plain => signed,
            Kind::Post(hold) | Kind::Void(hold) | Kind::Expire(hold) => {
                let Some((from, to, held)) = self.holds.get(&hold.0).copied() else { return false };
                let post = matches!(kind, Kind::Post(_));
                if (from, to) != (debit, credit) || amount.units() > held || amount.is_zero() == post {
                    return false;
                }
                self.holds.remove(&hold.0);
                signed
            }
        };
        *self.balances.entry(debit.0).or_default() -= moved;
        *self.balances.entry(credit.0).or_default() += moved;
        self.used.push(id.0);
        true
    }
}

#[test]
fn restarts_at_any_point_change_nothing() {
    let kind = prop_oneof![
        3 => Just(Kind::Plain),
        3 => Just(Kind::Pending),
        3 => (1u128..60).prop_map(|id| Kind::Post(TransferId(id))),
        1 => (1u128..60).prop_map(|id| Kind::Void(TransferId(id))),
    ];
    let step = (1u128..60, 0u32..4, 0u32..4, 1u128..50, kind, 0u8..8);
    let mut runner = TestRunner::new(Config { cases: 48, ..Config::default() });
    let replay = prop::sample::select(vec![0u64, 3, 10, 100_000]);
    let outcome = runner.run(&(prop::collection::vec(step, 1..60), replay), |(steps, replay)| {
        let engine = Engine::Sqlite(tempfile::tempdir().unwrap());
        block_on(async {
            let mut store = Store::open_with(&engine.url(), replay).await.unwrap();
            let mut model = Model::default();
            let mut ids = vec![store.account("wallet", "coin", Rules::default()).await.unwrap()];
            for name in ["a", "b", "c"] {
                ids.push(store.account(name, "coin", CLAIM).await.unwrap());
            }
            for (id, debit, credit, amount, kind, restart) in steps {
                let (mut debit, mut credit, mut amount) = (AccountId(debit), AccountId(credit), amount);
                if let Some((from, to, held)) = kind.hold().and_then(|id| model.holds.get(&id.0).copied()) {
                    (debit, credit, amount) = (from, to, amount.min(held));
                    if matches!(kind, Kind::Void(_)) {
                        amount = 0;
                    }
                }
                let posting = posting(id, debit, credit, amount, kind);
                let expected = model.take(&posting);
                let answer = store.post(at(1), vec![posting]).await.unwrap();
                assert_eq!(answer[0].is_ok(), expected, "{answer:?}");
                if restart == 0 {
                    drop(store);
                    store = Store::open_with(&engine.url(), replay).await.unwrap();
                }
            }
            for balance in store.balances().await.unwrap() {
                let counters = balance.account.counters;
                let posted = |amount: Amount| i128::try_from(amount.units()).unwrap();
                let have = posted(counters.credits_posted) - posted(counters.debits_posted);
                assert_eq!(have, *model.balances.get(&balance.id.0).unwrap_or(&0));
                assert_eq!(posted(counters.debits_pending), model.held(balance.id));
            }
            store.verify_books().await.unwrap();
        });
        Ok(())
    });
    outcome.unwrap();
}
