//! The doors of the online system: who keeps them busy keeps nobody out, and what stands behind them says how it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use claviger::config::{Config, ONE_NODE_ACCEPTED};
use claviger::custody::{Pipeline, pipelines};
use claviger::dev::until;
use claviger::serve::{Service, runtime};
use common::{Town, text};
use serde_json::{Value, json};
use types::{Asset, Network};

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0);
    let agent: ureq::Agent = config.timeout_global(Some(Duration::from_secs(60))).build().into();
    let mut answer = agent.get(format!("http://{address}{path}")).call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

fn health(town: &Town) -> Value {
    serde_json::from_str(&get(town.house.service.operators, "/health").1).unwrap()
}

#[test]
fn t05_hundreds_of_idle_sockets_keep_no_request_out() {
    let mut town = Town::start();
    // Two listeners' share and what it needs itself are less than this; the crowd is more.
    let mut bounded = Command::new("sh");
    bounded.args(["-c", "ulimit -n 900 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_claviger")]);
    town.house.service.restart_with(bounded).unwrap();
    let mut crowd = Vec::new();
    for (number, address) in [town.house.service.customers, town.house.service.operators].into_iter().enumerate() {
        for turn in 0..450 {
            let mut idle = TcpStream::connect(address).unwrap();
            // Some say nothing, some begin a head, some a body.
            match turn % 3 {
                0 => {}
                1 => idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n").unwrap(),
                _ => {
                    let half = b"POST /v1/addresses HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{";
                    // One that gave way already is as good as idle.
                    let _ = idle.write_all(half);
                }
            }
            crowd.push(idle);
        }
        let begun = Instant::now();
        assert_eq!(get(address, "/health").0, 200);
        if number == 0 {
            town.alice().get("/v1/account").unwrap();
        } else {
            town.olga().get("/v1/alarms").unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    assert_eq!(crowd.len(), 900);
}

#[test]
fn t05_a_head_or_a_body_that_never_ends_is_let_go_of() {
    let town = Town::start();
    let address = town.house.service.customers;
    let half = |text: &[u8]| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(text).unwrap();
        stream
    };
    let begun = Instant::now();
    let mut slow = [
        half(b""),
        half(b"GET /health HTTP/1.1\r\nHost: x\r\n"),
        half(b"POST /v1/addresses HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"),
        half(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"),
    ];
    let said = slow.each_mut().map(|stream| {
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    });
    assert!(said[2].contains("408") && said[2].contains("body-too-slow"), "{said:?}");
    assert!(said[3].contains("alive"), "what was answered is let go of as well when nothing more comes");
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}

#[test]
fn t05_asking_whether_it_is_ready_drives_nobody() {
    let town = Town::start();
    town.until_ready(true);
    let begun = Instant::now();
    let mut looks = BTreeSet::new();
    for _ in 0..60 {
        let (status, body) = get(town.house.service.operators, "/ready");
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(body["age_seconds"].as_i64().unwrap() <= 30, "{body}");
        looks.insert(text(&body, "/checked"));
    }
    let most = begun.elapsed().as_secs() / 2 + 2;
    assert!(u64::try_from(looks.len()).unwrap() <= most, "{looks:?}");
}

#[test]
fn t05_a_signer_with_another_canary_key_is_not_taken_for_the_one_that_was_seen_first() {
    let town = Town::start();
    town.until_ready(true);
    assert_eq!(town.tamper(&format!("UPDATE watched SET canary = '02{}' WHERE signer = 's1'", "11".repeat(32))), 1);
    let alarm = town.until_alarm("canary-key", "if it has new keys");
    assert_eq!(text(&alarm, "/subject"), "s1");
    let without = |there: bool| {
        until("s1 is counted, or not", || {
            let body: Value = serde_json::from_str(&get(town.house.service.operators, "/ready").1).unwrap();
            let counted = body["signers"].as_array().unwrap().contains(&json!("s1"));
            if counted == there { Ok(Some(())) } else { Err(body.to_string()) }
        })
        .unwrap();
    };
    without(false);
    town.until_ready(true);
    // People say that it has new keys.
    let body = json!({"code": "canary-key", "subject": "s1"}).to_string();
    assert_eq!(town.olga().ask("POST", "/v1/alarms/put-away", "away", &body).unwrap().status, 204);
    without(true);
    town.until_no_alarm("canary-key");
}

#[test]
fn t06_outside_development_one_node_alone_is_believed_only_where_somebody_said_so() {
    let mut town = Town::start();
    assert_eq!(health(&town)["one_node"], Value::Null);
    town.house.service.kill();
    let mut charter = town.house.charter.clone();
    charter.network = Network::Signet;
    for wallet in &mut charter.wallets {
        wallet.asset = Asset::Bitcoin(Network::Signet);
    }
    let path = town.house.directory().join("claviger.json");
    let mut config = Config::read(&path).unwrap();
    std::fs::write(&config.charter, charter.to_bytes()).unwrap();
    config.database = format!("sqlite:{}", town.house.directory().join("signet.db").display());
    let write = |config: &Config| std::fs::write(&path, serde_json::to_string(config).unwrap()).unwrap();
    write(&config);
    let refused = town.house.service.restart().unwrap_err();
    assert!(refused.contains("witness-nodes-missing") && refused.contains(ONE_NODE_ACCEPTED), "{refused}");
    write(&Config { witness_nodes_none: Some("yes".to_owned()), ..config.clone() });
    assert!(town.house.service.restart().unwrap_err().contains("witness-nodes-none"));
    let both = Config {
        witness_nodes_none: Some(ONE_NODE_ACCEPTED.to_owned()),
        witness_nodes: vec![config.node.clone()],
        ..config.clone()
    };
    write(&both);
    assert!(town.house.service.restart().unwrap_err().contains("take witness_nodes_none out"));
    write(&Config { witness_nodes_none: Some(ONE_NODE_ACCEPTED.to_owned()), ..config.clone() });
    town.house.service.restart().unwrap();
    // Said at the start, as long as it lasts, and to whoever looks.
    town.until_alarm("one-node", "whoever owns our only node");
    assert!(text(&health(&town), "/one_node").contains("whoever owns our only node"));
    let log = std::fs::read_to_string(town.house.directory().join("claviger.log")).unwrap();
    assert!(log.contains("WARNING: no further node is asked"), "{log}");
    write(&Config { witness_nodes: vec![config.node.clone()], ..config });
    town.house.service.restart().unwrap();
    town.until_no_alarm("one-node");
}

#[test]
fn a_pipeline_that_panics_is_begun_again_and_shown_and_the_others_go_on() {
    let mut town = Town::start();
    town.house.service.kill();
    let config = Config::read(&town.house.directory().join("claviger.json")).unwrap();
    let mut driving = pipelines();
    driving.push(Pipeline::new("faulty", async |_, _| panic!("by the test")));
    let runtime = runtime().unwrap();
    let service = runtime.block_on(Service::start_with(config, driving)).unwrap();
    let alarm = town.until_alarm("pipeline", "panicked, 2 times");
    assert_eq!(text(&alarm, "/subject"), "faulty");
    until("its fall is shown", || {
        let (status, body) = get(service.operators, "/health");
        let body: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let items = body["pipelines"].as_array().unwrap();
        let faulty = items.iter().find(|one| one["name"] == "faulty").unwrap();
        let shown = status == 503 && faulty["well"] == false && faulty["falls"].as_u64().unwrap() >= 2;
        let others = items.iter().filter(|one| one["name"] != "faulty");
        let well =
            others.clone().count() == 5 && others.into_iter().all(|one| one["well"] == true && one["falls"] == 0);
        if shown && well { Ok(Some(())) } else { Err(body.to_string()) }
    })
    .unwrap();
    assert_eq!(get(service.customers, "/health").0, 503);
    // What the others drive goes on: a deposit is seen, and credited.
    town.house.node.pay(&town.address("alice", "1"), 100_000).unwrap();
    town.house.node.mine(3).unwrap();
    town.until_available("alice", 100_000);
    // It stands until people have seen it.
    let body = json!({"code": "pipeline", "subject": "faulty"}).to_string();
    assert_eq!(town.olga().ask("POST", "/v1/alarms/put-away", "away", &body).unwrap().status, 204);
    runtime.block_on(service.end()).unwrap();
}
