//! Against a real bitcoind: reading, following through reorganizations, and a node that goes away.
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, failing here is the test failing")]

use bitcoin::BlockHash;
use node::regtest::{Bitcoind, START_HEIGHT};
use node::{Client, Known, NodeError, Step, next_step};
use serde_json::json;
use types::Network;

fn start() -> (tempfile::TempDir, Bitcoind) {
    let directory = tempfile::tempdir().unwrap();
    let node = Bitcoind::start(directory.path()).unwrap_or_else(|error| panic!("{error}"));
    (directory, node)
}

/// Follows until nothing is new, as the online system does; says how many blocks were undone.
fn follow(client: &Client, known: &mut Vec<Known>, depth_max: u32) -> Result<usize, Step> {
    let mut undone = 0;
    loop {
        match next_step(client, known, depth_max, Network::Regtest).unwrap() {
            Step::Connect { height, block } => {
                if let Some(tip) = known.last() {
                    assert_eq!((block.header.prev_blockhash, height), (tip.hash, tip.height + 1));
                }
                known.push(Known { height, hash: block.block_hash() });
            }
            Step::Disconnect { to } => {
                let before = known.len();
                known.retain(|block| block.height <= to.height);
                undone += before - known.len();
            }
            Step::Wait => return Ok(undone),
            deep @ Step::TooDeep { .. } => return Err(deep),
        }
    }
}

fn invalidate(client: &Client, hash: &BlockHash) {
    client.call("invalidateblock", json!([hash.to_string()])).unwrap();
}

#[test]
fn blocks_transactions_and_estimates_are_read() {
    let (_directory, node) = start();
    let client = node.client();
    let info = client.chain_info().unwrap();
    assert_eq!((info.network, info.height, info.catching_up), (Network::Regtest, START_HEIGHT, false));
    let address = node.outside_address().unwrap();
    let txid = node.pay(&address, 12_345).unwrap();
    assert_eq!(client.mempool().unwrap(), [txid]);
    let transaction = client.transaction(&txid).unwrap();
    assert_eq!(transaction.compute_txid(), txid);
    assert_eq!(client.broadcast(&transaction).unwrap(), txid, "handing it in again is no error");
    let vout = transaction.output.iter().position(|output| output.value.to_sat() == 12_345).unwrap();
    let outpoint = bitcoin::OutPoint::new(txid, u32::try_from(vout).unwrap());
    assert_eq!(client.unspent(&outpoint).unwrap().unwrap().value.to_sat(), 12_345);
    assert_eq!(client.estimate_fee(6).unwrap(), None, "too little to go by");
    node.mine(1).unwrap();
    let tip = client.block(&client.block_hash(START_HEIGHT + 1).unwrap()).unwrap();
    assert!(tip.txdata.iter().any(|inside| inside.compute_txid() == txid));
    assert_eq!(client.broadcast(&transaction).unwrap(), txid, "nor when it is confirmed");
    assert!(matches!(client.block_hash(START_HEIGHT + 2), Err(NodeError::Refused { code: -8, .. })));
    let missing = "00".repeat(32).parse().unwrap();
    assert!(matches!(client.transaction(&missing), Err(NodeError::Unknown(_))));
}

#[test]
fn reorganizations_are_undone_up_to_the_limit_and_no_further() {
    let (_directory, node) = start();
    let client = node.client();
    let mut known = Vec::new();
    assert_eq!(follow(client, &mut known, 6), Ok(0));
    assert_eq!(known.len(), START_HEIGHT as usize + 1);
    let left = known.get(START_HEIGHT as usize - 2).unwrap().hash;
    invalidate(client, &left);
    assert_eq!(follow(client, &mut known, 6), Ok(0), "a node that is behind on our chain undoes nothing");
    node.mine(2).unwrap();
    assert_eq!(follow(client, &mut known, 6), Ok(3), "a branch does, and blocks above its tip are left too");
    assert_eq!(known.len(), START_HEIGHT as usize);
    node.mine(3).unwrap();
    assert_eq!(follow(client, &mut known, 6), Ok(0));
    // The first chain comes back and is longer again only once it grows.
    client.call("reconsiderblock", json!([left.to_string()])).unwrap();
    assert_eq!(follow(client, &mut known, 6), Ok(0));
    let deep = known.get(START_HEIGHT as usize - 11).unwrap().hash;
    invalidate(client, &deep);
    node.mine(1).unwrap();
    let before = known.clone();
    assert_eq!(follow(client, &mut known, 6), Err(Step::TooDeep { depth: 7 }));
    assert_eq!(known, before, "nothing is undone half way");
}

#[test]
fn a_node_that_goes_away_is_named_and_found_again() {
    let (_directory, mut node) = start();
    let client = node.client().clone();
    let mut known = Vec::new();
    follow(&client, &mut known, 6).unwrap();
    node.stop().unwrap();
    let error = next_step(&client, &known, 6, Network::Regtest).unwrap_err();
    assert!(error.retry(), "{error}");
    node.restart().unwrap();
    node.mine(1).unwrap();
    assert_eq!(follow(&client, &mut known, 6), Ok(0));
    assert_eq!(known.len(), START_HEIGHT as usize + 2);
    let wrong = Client::new("http://127.0.0.1:1", "/nonexistent".into());
    assert!(matches!(wrong.chain_info(), Err(NodeError::NoCookie(_))));
}

/// A node that answers every question about a block with these bytes, once.
fn liar(bytes: Vec<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4_096]).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    url
}

#[test]
fn t06_a_node_that_adds_a_payment_to_an_honest_block_is_not_believed() {
    let (directory, node) = start();
    let hash = node.client().block_hash(START_HEIGHT).unwrap();
    let mut block = node.client().block(&hash).unwrap();
    let cookie = directory.path().join("cookie");
    std::fs::write(&cookie, "user:password").unwrap();
    let honest = liar(bitcoin::consensus::serialize(&block));
    assert_eq!(Client::new(&honest, cookie.clone()).block(&hash).unwrap(), block);
    let mut invented = block.txdata.last().unwrap().clone();
    invented.input.first_mut().unwrap().previous_output = bitcoin::OutPoint::new(invented.compute_txid(), 0);
    block.txdata.push(invented);
    let lying = liar(bitcoin::consensus::serialize(&block));
    let error = Client::new(&lying, cookie).block(&hash).unwrap_err();
    assert!(matches!(error, NodeError::Block(node::BlockFault::Transactions)), "{error}");
}

#[test]
fn t06_a_silent_node_holds_nobody_up_for_longer_than_it_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let cookie = directory.path().join("cookie");
    std::fs::write(&cookie, "user:password").unwrap();
    // Connections are made, and never answered.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let patience = std::time::Duration::from_millis(300);
    let client = Client::with_patience(&url, cookie, patience);
    let start = std::time::Instant::now();
    let error = client.chain_info().unwrap_err();
    assert!(matches!(error, NodeError::Unreachable { .. }) && error.retry(), "{error}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_ok() && listener.accept().is_err(), "it is asked once, and not for as long again");
    assert!(start.elapsed() < patience * 20, "{:?}", start.elapsed());
}

#[test]
fn t06_a_transaction_under_anothers_name_is_not_believed() {
    let (directory, node) = start();
    let txid = node.pay(&node.outside_address().unwrap(), 12_345).unwrap();
    let mut transaction = node.client().transaction(&txid).unwrap();
    let cookie = directory.path().join("cookie");
    std::fs::write(&cookie, "user:password").unwrap();
    transaction.output.iter_mut().for_each(|output| output.value = bitcoin::Amount::from_sat(500_000_000));
    let lying = liar(bitcoin::consensus::serialize(&transaction));
    let error = Client::new(&lying, cookie).transaction(&txid).unwrap_err();
    let found = transaction.compute_txid();
    assert!(
        matches!(error, NodeError::Transaction { asked, found: other } if asked == txid && other == found),
        "{error}"
    );
}
