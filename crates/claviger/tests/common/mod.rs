//! A house with people and coins, and what an attacker with the database can do.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod cold;
pub mod desk;
pub mod direct;
pub mod liar;
pub mod thief;

use claviger::cli::{Answer, Client};
use claviger::dev::{House, until};
use serde_json::{Value, json};
use sqlx::Connection as _;
use store::Store;
use types::{Asset, Network};

pub const ASSET: Asset = Asset::Bitcoin(Network::Regtest);

pub struct Town {
    pub house: House,
    directory: tempfile::TempDir,
}

pub fn text(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The identifier of alice's withdrawal under a key.
pub fn id_of(key: &str) -> String {
    policy::withdrawal_id(&"alice".parse().unwrap(), key).unwrap().to_string()
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

impl Town {
    pub fn start() -> Town {
        Town::start_with(|_| {})
    }

    pub fn start_with(change: impl Fn(&mut claviger::config::Config)) -> Town {
        let directory = tempfile::tempdir().unwrap();
        let house = House::start_with(directory.path(), change, |_| {}).unwrap();
        Town { house, directory }
    }

    /// With another first charter.
    pub fn decided(decide: impl Fn(&mut policy::Charter)) -> Town {
        let directory = tempfile::tempdir().unwrap();
        let house = House::start_with(directory.path(), |_| {}, decide).unwrap();
        let town = Town { house, directory };
        town.fill();
        town
    }

    /// The house's float and coins for alice and bob, credited.
    pub fn with_coins() -> Town {
        let town = Town::start();
        town.fill();
        town
    }

    /// The same with another configuration.
    pub fn with_coins_but(change: impl Fn(&mut claviger::config::Config)) -> Town {
        let town = Town::start_with(change);
        town.fill();
        town
    }

    fn fill(&self) {
        let town = self;
        let float = town.olga().post("/v1/float/addresses", "float", &Value::Null).unwrap();
        town.house.node.pay(&text(&float, "/address"), 2_000_000).unwrap();
        for (name, sats) in [("alice", 300_000_000), ("bob", 50_000_000)] {
            let address = town.address(name, "first");
            town.house.node.pay(&address, sats).unwrap();
        }
        town.house.node.mine(3).unwrap();
        town.until_available("alice", 300_000_000);
        town.until_available("bob", 50_000_000);
    }

    pub fn alice(&self) -> Client {
        self.house.customer("alice").unwrap()
    }

    pub fn olga(&self) -> Client {
        self.house.operator("olga").unwrap()
    }

    pub fn address(&self, name: &str, key: &str) -> String {
        let body = json!({"asset": ASSET.to_string(), "label": key});
        text(&self.house.customer(name).unwrap().post("/v1/addresses", key, &body).unwrap(), "/address")
    }

    pub fn available(&self, name: &str) -> Result<u64, String> {
        let account = self.house.customer(name)?.get("/v1/account")?;
        text(&account, "/items/0/available").parse().map_err(|_| "no balance".to_owned())
    }

    pub fn until_available(&self, name: &str, sats: u64) {
        let what = format!("{name} has {sats}");
        until(&what, || {
            let have = self.available(name)?;
            if have == sats { Ok(Some(())) } else { Err(format!("{have}; alarms {:?}", self.alarms())) }
        })
        .unwrap();
    }

    pub fn outside(&self) -> String {
        self.house.node.outside_address().unwrap()
    }

    pub fn withdrawal(sats: impl ToString, destination: &str) -> Value {
        json!({"amount": sats.to_string(), "asset": ASSET.to_string(), "destination": destination})
    }

    /// Asks for a withdrawal; whatever comes back.
    pub fn withdraw(&self, name: &str, key: &str, body: &Value) -> Answer {
        self.house.customer(name).unwrap().ask("POST", "/v1/withdrawals", key, &body.to_string()).unwrap()
    }

    pub fn payment(&self, id: &str) -> Result<Value, String> {
        self.olga().get(&format!("/v1/payments/{id}"))
    }

    pub fn state(&self, id: &str) -> Result<String, String> {
        Ok(text(&self.payment(id)?, "/payment/state"))
    }

    pub fn reaches(&self, id: &str, state: &str) -> Value {
        until(&format!("{id} {state}"), || {
            let shown = self.payment(id)?;
            let now = text(&shown, "/payment/state");
            if now == state { Ok(Some(shown)) } else { Err(format!("{now}: {}", text(&shown, "/payment/reason"))) }
        })
        .unwrap()
    }

    pub fn instruction(&self, id: &str) -> types::Instruction {
        let canonical = text(&self.payment(id).unwrap(), "/canonical");
        types::Instruction::from_canonical(canonical.as_bytes()).unwrap()
    }

    pub fn approve(&self, operator: &str, id: &str) -> Answer {
        let signature = self.house.people.approve(operator, &self.instruction(id)).unwrap().signature;
        self.hand_in(operator, id, &signature)
    }

    /// Hands in an operator's approval, whatever it is.
    pub fn hand_in(&self, operator: &str, id: &str, signature: &str) -> Answer {
        let body = json!({"signature": signature}).to_string();
        let path = format!("/v1/payments/{id}/approvals");
        let key = types::Digest::of(&[signature.as_bytes()]).to_string();
        self.house.operator(operator).unwrap().ask("POST", &path, &key, &body).unwrap()
    }

    pub fn alarms(&self) -> Result<Vec<Value>, String> {
        let alarms = self.olga().get("/v1/alarms")?;
        Ok(alarms.pointer("/items").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Waits for an alarm with this code whose words hold this part.
    pub fn until_alarm(&self, code: &str, part: &str) -> Value {
        until(&format!("alarm {code} with {part}"), || {
            let alarms = self.alarms()?;
            let found =
                alarms.iter().find(|alarm| text(alarm, "/code") == code && text(alarm, "/message").contains(part));
            found.cloned().map_or_else(|| Err(format!("{alarms:?}")), |alarm| Ok(Some(alarm)))
        })
        .unwrap()
    }

    /// Waits until the system says that it is ready, or is not; what it says then. It looks by itself, every few seconds.
    pub fn until_ready(&self, ready: bool) -> Value {
        until(&format!("ready {ready}"), || {
            let answer = self.olga().ask("GET", "/ready", "", "")?;
            let expected = if ready { 200 } else { 503 };
            if answer.status == expected { Ok(Some(answer.body)) } else { Err(format!("{:?}", answer.body)) }
        })
        .unwrap()
    }

    pub fn until_no_alarm(&self, code: &str) {
        until(&format!("no alarm {code}"), || {
            Ok((!self.alarms()?.iter().any(|alarm| text(alarm, "/code") == code)).then_some(()))
        })
        .unwrap();
    }

    /// What an address outside has received, confirmed or not, in satoshis and in how many payments.
    pub fn received(&self, address: &str) -> (u64, usize) {
        let list = self
            .house
            .node
            .client()
            .call_wallet("outside", "listreceivedbyaddress", json!([0, true, false, address]))
            .unwrap();
        let amount = list.pointer("/0/amount").and_then(Value::as_f64).unwrap_or_default();
        let count = list.pointer("/0/txids").and_then(Value::as_array).map_or(0, Vec::len);
        (bitcoin::Amount::from_btc(amount).unwrap().to_sat(), count)
    }

    /// Does as somebody with full write access to the database does.
    pub fn tamper(&self, sql: &str) -> u64 {
        let path = format!("sqlite://{}", self.house.directory().join("claviger.db").display());
        let sql = sql.to_owned();
        block_on(async move {
            let mut connection = sqlx::SqliteConnection::connect(&path).await.unwrap();
            sqlx::raw_sql("PRAGMA busy_timeout = 20000").execute(&mut connection).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap().rows_affected()
        })
    }

    /// A row that says that somebody enrolled this passkey, as an attacker with the database would write it.
    pub fn enrolled(&self, operator: &str, passkey: &testkit::Passkey) {
        self.tamper(&format!(
            "INSERT INTO credentials (id, operator, public_key, device_bound, created, revoked)
             VALUES ('{}', '{operator}', x'{}', 1, 1, 0)",
            passkey.credential,
            hex::encode(passkey.public_key().unwrap())
        ));
    }

    /// The three sides agree in every wallet, asked coin by coin.
    pub fn assert_reconciled(&self) {
        until("the sides agree", || {
            let wallets = self.olga().get("/v1/reconciliation")?;
            let items = wallets.pointer("/items").and_then(Value::as_array).cloned().unwrap_or_default();
            let differ = items.iter().any(|wallet| wallet.get("difference").is_some_and(Value::is_string));
            if items.len() == 2 && !differ { Ok(Some(())) } else { Err(format!("{items:?}")) }
        })
        .unwrap();
    }

    /// Stops the online system and reads the books from the first record to the last.
    pub fn assert_books(&mut self) {
        self.house.service.kill();
        let url = format!("sqlite:{}", self.house.directory().join("claviger.db").display());
        block_on(async {
            let store = Store::open(&url).await.unwrap();
            assert!(store.verify_books().await.unwrap() > 0);
        });
    }
}
