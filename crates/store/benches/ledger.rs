//! Durable transfers per second of the books, beside bare inserts of the same rows on the same disk in the same run.
//!
//! `cargo bench --package store --bench ledger -- [--seconds 2] [--accounts 10000] [--only sqlite|postgres]`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot run ends with the reason"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::{AccountId, Kind, Rules, Transfer, TransferId};
use sqlx::Connection as _;
use store::{Posting, Store};
use testkit::Postgres;
use types::{Amount, Moment};

const BATCHES: [usize; 4] = [1, 100, 1_000, 8_000];

struct Options {
    seconds: f64,
    accounts: u32,
    only: Option<String>,
}

impl Options {
    fn read() -> Options {
        let mut options = Options { seconds: 2.0, accounts: 10_000, only: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().expect("the option needs a value");
            match name.as_str() {
                "--seconds" => options.seconds = value().parse().expect("seconds"),
                "--accounts" => options.accounts = value().parse().expect("a number of accounts"),
                "--only" => options.only = Some(value()),
                // Cargo says this to every benchmark.
                "--bench" => {}
                other => panic!("unknown option {other}"),
            }
        }
        options
    }
}

/// A small generator of its own (xorshift64*): the benchmark needs spread, not secrecy.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) & u64::from(u32::MAX);
        u32::try_from((high * u64::from(end)) >> 32).expect("below a u32")
    }
}

/// Makes transfers with names that grow.
struct Load {
    random: Random,
    next: u128,
    accounts: u32,
    hot: bool,
}

impl Load {
    fn pair(&mut self) -> (AccountId, AccountId) {
        let debit = if self.hot { 0 } else { self.random.below(self.accounts) };
        let credit = 1 + self.random.below(self.accounts - 1);
        (AccountId(debit), AccountId(if debit == credit { 0 } else { credit }))
    }

    fn posting(&mut self, debit: AccountId, credit: AccountId, kind: Kind) -> Posting {
        self.next += 1;
        let transfer = Transfer { id: TransferId(self.next), debit, credit, amount: Amount::from_units(1), kind };
        Posting { transfer, cause: "bench".to_owned() }
    }

    fn plain(&mut self, count: usize) -> Vec<Posting> {
        (0..count)
            .map(|_| {
                let (debit, credit) = self.pair();
                self.posting(debit, credit, Kind::Plain)
            })
            .collect()
    }

    /// Holds and their ends.
    fn pairs(&mut self, count: usize) -> [Vec<Posting>; 2] {
        let mut holds = Vec::with_capacity(count);
        let mut ends = Vec::with_capacity(count);
        for _ in 0..count {
            let (debit, credit) = self.pair();
            holds.push(self.posting(debit, credit, Kind::Pending));
        }
        for hold in &holds {
            let Transfer { id, debit, credit, .. } = hold.transfer;
            ends.push(self.posting(debit, credit, Kind::Post(id)));
        }
        [holds, ends]
    }
}

fn now() -> Moment {
    Moment::from_micros(1_700_000_000_000_000)
}

struct Figure {
    per_second: f64,
    slowest: Duration,
}

/// Repeats `work`, which does `count` things, until the time is over.
async fn measure(seconds: f64, count: usize, mut work: impl AsyncFnMut()) -> Figure {
    work().await;
    let start = Instant::now();
    let (mut done, mut slowest) = (0usize, Duration::ZERO);
    while start.elapsed().as_secs_f64() < seconds {
        let one = Instant::now();
        work().await;
        slowest = slowest.max(one.elapsed());
        done += count;
    }
    Figure { per_second: done as f64 / start.elapsed().as_secs_f64(), slowest }
}

fn show(engine: &str, what: &str, batch: usize, figure: &Figure, baseline: Option<&Figure>) {
    let ratio = baseline.map_or(String::new(), |base| format!("{:>6.2}", figure.per_second / base.per_second));
    let slowest = figure.slowest.as_secs_f64() * 1e3;
    println!("{engine:9} {what:26} {batch:>6} {:>12.0}/s {slowest:>9.1} ms {ratio}", figure.per_second);
}

/// Bare rows of about the journal's size: one statement and one durable commit for each batch, no rules, no balances.
async fn baseline(engine: &str, url: &str, seconds: f64, batch: usize) -> Figure {
    if engine == "sqlite" {
        let path = url.replace("sqlite:", "sqlite://");
        let mut connection = sqlx::SqliteConnection::connect(&path).await.unwrap();
        for pragma in ["journal_mode=WAL", "synchronous=FULL"] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"))).execute(&mut connection).await.unwrap();
        }
        let table = "CREATE TABLE IF NOT EXISTS bare (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)";
        sqlx::raw_sql(table).execute(&mut connection).await.unwrap();
        let mut next = sqlx::query_scalar::<_, i64>("SELECT COALESCE(MAX(seq), 0) FROM bare")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let text = |rows: usize| format!("INSERT INTO bare VALUES {}", vec!["(?,?)"; rows].join(","));
        let (full, rest) = (text(batch.min(500)), text(batch % 500));
        measure(seconds, batch, async || {
            let mut transaction = connection.begin().await.unwrap();
            let mut left = batch;
            while left > 0 {
                let rows = left.min(500);
                let sql = if rows == batch.min(500) { full.clone() } else { rest.clone() };
                let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
                for _ in 0..rows {
                    next += 1;
                    query = query.bind(next).bind(vec![7u8; 190]);
                }
                query.execute(&mut *transaction).await.unwrap();
                left -= rows;
            }
            transaction.commit().await.unwrap();
        })
        .await
    } else {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        let table = "CREATE TABLE IF NOT EXISTS bare (seq BIGINT PRIMARY KEY, body BYTEA NOT NULL)";
        sqlx::raw_sql(table).execute(&mut connection).await.unwrap();
        let mut next = sqlx::query_scalar::<_, i64>("SELECT COALESCE(MAX(seq), 0)::bigint FROM bare")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        measure(seconds, batch, async || {
            let numbers: Vec<i64> = (0..batch)
                .map(|_| {
                    next += 1;
                    next
                })
                .collect();
            sqlx::query("INSERT INTO bare SELECT * FROM UNNEST($1::bigint[], $2::bytea[])")
                .bind(numbers)
                .bind(vec![vec![7u8; 190]; batch])
                .execute(&mut connection)
                .await
                .unwrap();
        })
        .await
    }
}

async fn engine(name: &str, url: &str, options: &Options) {
    let store = Store::open(url).await.expect("the store opens");
    for number in 0..options.accounts {
        store.account(&format!("a{number}"), "coin", Rules::default()).await.unwrap();
    }
    let mut next = 0u128;
    for batch in BATCHES {
        let base = baseline(name, url, options.seconds, batch).await;
        show(name, "bare inserts", batch, &base, None);
        for hot in [false, true] {
            let place = if hot { "hot account" } else { "uniform" };
            let mut load = Load { random: Random(7), next, accounts: options.accounts, hot };
            let plain = measure(options.seconds, batch, async || {
                let answers = store.post(now(), load.plain(batch)).await.unwrap();
                assert!(answers.iter().all(Result::is_ok), "a transfer was refused");
            })
            .await;
            show(name, &format!("plain, {place}"), batch, &plain, Some(&base));
            let pairs = measure(options.seconds, batch, async || {
                for half in load.pairs(batch) {
                    let answers = store.post(now(), half).await.unwrap();
                    assert!(answers.iter().all(Result::is_ok), "a transfer was refused");
                }
            })
            .await;
            show(name, &format!("hold and post, {place}"), batch, &pairs, Some(&base));
            next = load.next;
        }
    }
    let figure = in_flight(&store, options, next).await;
    show(name, "1,000 callers, one each", 1, &figure, None);
}

/// A thousand callers, each with one transfer at a time: the writer takes together what waits together.
async fn in_flight(store: &Store, options: &Options, next: u128) -> Figure {
    let start = Instant::now();
    let seconds = options.seconds;
    let names = Arc::new(std::sync::atomic::AtomicU64::new(1));
    let caller = |number: u32| {
        let store = store.clone();
        let names = Arc::clone(&names);
        let accounts = options.accounts;
        async move {
            let (mut done, mut slowest) = (0usize, Duration::ZERO);
            while start.elapsed().as_secs_f64() < seconds {
                let id = next + u128::from(names.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
                let (debit, credit) = (AccountId(number % accounts), AccountId((number + 1) % accounts));
                let transfer =
                    Transfer { id: TransferId(id), debit, credit, amount: Amount::from_units(1), kind: Kind::Plain };
                let one = Instant::now();
                let answers = store.post(now(), vec![Posting { transfer, cause: "bench".to_owned() }]).await.unwrap();
                assert!(answers.iter().all(Result::is_ok), "a transfer was refused");
                slowest = slowest.max(one.elapsed());
                done += 1;
            }
            (done, slowest)
        }
    };
    let callers: Vec<_> = (1..=1_000).map(|number| tokio::spawn(caller(number))).collect();
    let (mut done, mut slowest) = (0, Duration::ZERO);
    for caller in callers {
        let (count, worst) = caller.await.unwrap();
        done += count;
        slowest = slowest.max(worst);
    }
    Figure { per_second: done as f64 / start.elapsed().as_secs_f64(), slowest }
}

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Beside the build, on a disk: a temporary directory may be memory.
    let directory = tempfile::tempdir_in(PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    println!("engine    what                        batch    durable      slowest call   of bare inserts");
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    if wanted("sqlite") {
        let url = format!("sqlite:{}/books.db", directory.path().display());
        runtime.block_on(engine("sqlite", &url, &options));
    }
    if wanted("postgres") {
        let postgres = Postgres::start_in(directory.path()).expect("PostgreSQL starts");
        runtime.block_on(engine("postgres", &postgres.url(), &options));
    }
}
