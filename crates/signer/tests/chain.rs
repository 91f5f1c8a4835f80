//! On a real chain: coins arrive at our address, three processes sign two of three, and the network takes what they sign.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use bitcoin::{Amount, OutPoint};
use chains::bitcoin::{Branch, Input};
use common::cores::finish;
use common::hex_of;
use common::processes::Fleet;
use node::NodeError;
use node::regtest::Bitcoind;
use signer::server::now;
use signer_client::sign;
use signer_wire::{Evidence, Instruction as WireInstruction};

/// Pays our address at `index` from the outside and returns the coin once it is confirmed.
fn fund(node: &Bitcoind, fleet: &Fleet, index: u32, sats: u64) -> Input {
    let derived = fleet.house.wallet("hot").derive(Branch::Receive, index).unwrap();
    let txid = node.pay(&derived.address, sats).unwrap();
    node.mine(1).unwrap();
    let previous = node.client().transaction(&txid).unwrap();
    let vout = previous.output.iter().position(|output| output.script_pubkey == derived.script_pubkey).unwrap();
    Input { previous, vout: u32::try_from(vout).unwrap(), branch: Branch::Receive, index }
}

fn signed(fleet: &Fleet, absent: usize, wires: &[WireInstruction], psbt: &bitcoin::psbt::Psbt) -> bitcoin::Transaction {
    let mut clients = fleet.clients();
    clients.remove(absent);
    let signed = sign(&mut clients, 2, wires, &hex_of(psbt)).unwrap();
    let signatures: Vec<_> = signed.into_iter().flat_map(|signed| signed.signatures).collect();
    finish(&fleet.house, wires, psbt, &signatures)
}

#[test]
fn a_withdrawal_a_fee_bump_and_a_sweep_confirm_to_the_satoshi() {
    let directory = tempfile::tempdir().unwrap();
    let node = Bitcoind::start(directory.path()).unwrap_or_else(|error| panic!("{error}"));
    let client = node.client();
    let fleet = Fleet::start();
    let coins = [fund(&node, &fleet, 0, 6_000_000), fund(&node, &fleet, 1, 4_000_000)];

    // A customer's small payment and an approved large one in one transaction, then the same with a higher fee.
    let (small, small_wire) = fleet.house.withdrawal("small", 50_000, now());
    let (large, mut large_wire) = fleet.house.withdrawal("large", 7_000_000, now());
    large_wire.evidence.approvals = vec![fleet.house.approve("olga", &large), fleet.house.approve("omar", &large)];
    let wires = [small_wire, large_wire];
    let first = fleet.house.psbt(&coins, &[&small, &large], 1_000);
    let transaction = signed(&fleet, 0, &wires, &first);
    client.broadcast(&transaction).unwrap();
    let bumped = signed(&fleet, 1, &wires, &fleet.house.psbt(&coins, &[&small, &large], 5_000));
    let txid = client.broadcast(&bumped).unwrap();
    assert_eq!(client.mempool().unwrap(), [txid], "the bump replaced the first try");
    node.mine(1).unwrap();
    assert!(
        matches!(client.broadcast(&transaction), Err(NodeError::Refused { .. })),
        "at most one of both can confirm"
    );

    // What came back goes to the cold wallet.
    let change =
        bumped.output.iter().position(|output| output.value == Amount::from_sat(10_000_000 - 7_050_000 - 5_000));
    let vout = u32::try_from(change.unwrap()).unwrap();
    let sweep = fleet.house.transfer("sweep", "olga", 2_000_000, now());
    let evidence = Evidence { customer_request: None, approvals: vec![fleet.house.approve("oona", &sweep)] };
    let coin = Input { previous: bumped, vout, branch: Branch::Change, index: 1 };
    let wires = [common::wire(&sweep, evidence)];
    let moved = signed(&fleet, 2, &wires, &fleet.house.psbt(&[coin], &[&sweep], 1_000));
    client.broadcast(&moved).unwrap();
    node.mine(1).unwrap();
    let cold = fleet.house.wallet("cold").derive(Branch::Receive, 0).unwrap();
    let held: u64 = (0..u32::try_from(moved.output.len()).unwrap())
        .filter_map(|vout| client.unspent(&OutPoint::new(moved.compute_txid(), vout)).unwrap())
        .filter(|output| output.script_pubkey == cold.script_pubkey)
        .map(|output| output.value.to_sat())
        .sum();
    assert_eq!(held, 2_000_000);
}
