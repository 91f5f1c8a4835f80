//! Whoever has the online system's certificate asks signers directly: no server, no database.
#![allow(dead_code, reason = "each test file uses a part")]

use bitcoin::psbt::Psbt;
use chains::bitcoin::{Caps, PartialSignature, Payment, WalletDescriptor, combine, finalize, inspect, parse_address};
use signer_client::SignerClient;
use signer_wire::RequestBody;
use types::{Amount, Approval, Body, EVERY_SIGNER, Evidence, Freeze, Instruction, Latch, Network};

use super::{ASSET, Town, id_of};

/// A withdrawal of alice's with its transaction.
pub struct Order {
    pub instruction: Instruction,
    pub wires: Vec<signer_wire::Instruction>,
    pub psbt: Psbt,
}

impl Order {
    /// Signed with alice's key, approved as `approve` says.
    pub fn new(
        town: &Town,
        key: &str,
        destination: &str,
        sats: u64,
        approve: impl Fn(&Instruction) -> Vec<Approval>,
    ) -> Order {
        let mut purse = claviger::dev::Purse::new(hot(town));
        let deposits = town.olga().get("/v1/deposits").unwrap();
        for deposit in deposits["items"].as_array().unwrap() {
            let (txid, _) = deposit["id"].as_str().unwrap().split_once(':').unwrap();
            purse.take_all(&town.house.node.client().transaction(&txid.parse().unwrap()).unwrap());
        }
        purse.prune(&town.house.node).unwrap();
        let body = Town::withdrawal(sats, destination).to_string();
        let request =
            town.house.people.key("alice").unwrap().sign("POST", policy::WITHDRAWALS_PATH, key, &body).unwrap();
        let created = claviger::custody::now().whole_seconds();
        let instruction = Instruction {
            id: id_of(key).parse().unwrap(),
            created,
            expires: created.plus_seconds(600),
            charter: 1,
            body: Body::CustomerWithdrawal(types::Payment {
                customer: "alice".parse().unwrap(),
                asset: ASSET,
                wallet: "hot".parse().unwrap(),
                destination: destination.to_owned(),
                amount: Amount::from_sats(sats),
                fee_max: Amount::from_sats(50_000),
            }),
        };
        let evidence = Evidence { customer_request: Some(request), approvals: approve(&instruction) };
        let draft = purse.draft(&[&instruction], 5_000, &[], 100).unwrap();
        let wires = vec![claviger::wire::instruction(&instruction, &evidence)];
        Order { instruction, wires, psbt: draft.psbt }
    }

    /// The transaction that the network takes.
    pub fn finish(&self, town: &Town, signed: &[signer_client::Signed]) -> bitcoin::Transaction {
        let wallet = hot(town);
        let Body::CustomerWithdrawal(asked) = &self.instruction.body else { unreachable!() };
        let payment = Payment {
            script: parse_address(&asked.destination, Network::Regtest).unwrap(),
            sats: asked.amount.to_sats().unwrap(),
        };
        let caps = Caps { fee_sats_max: 100_000, sats_per_kvb_max: 200_000, change_index_max: 1_000 };
        let effects = inspect(&self.psbt, &wallet, &[payment], &caps).unwrap();
        let (mut psbt, secp) = (self.psbt.clone(), bitcoin::secp256k1::Secp256k1::new());
        for signature in signed.iter().flat_map(|signed| &signed.signatures) {
            let part = PartialSignature {
                input: signature.input,
                public_key: hex::decode(&signature.public_key).unwrap(),
                signature: hex::decode(&signature.signature).unwrap(),
            };
            combine(&mut psbt, &effects, &[part], &secp).unwrap();
        }
        finalize(&psbt, &wallet, &effects).unwrap()
    }

    /// Asks these signers; the words of those that refuse.
    pub fn ask(&self, signers: &mut [SignerClient]) -> Result<Vec<signer_client::Signed>, String> {
        let needed = signers.len().min(2);
        signer_client::sign(signers, needed, &self.wires, &hex::encode(self.psbt.serialize())).map_err(|error| {
            error.refusals.iter().map(|(place, error)| format!("{place}: {error}")).collect::<Vec<_>>().join("; ")
        })
    }
}

/// A quorum lets some of the signers go on, without the online system.
pub fn unfreeze(town: &Town, places: &[usize]) {
    let created = claviger::custody::now().whole_seconds();
    let instruction = Instruction {
        id: format!("open-{}", created.micros()).parse().unwrap(),
        created,
        expires: created.plus_seconds(600),
        charter: 1,
        body: Body::Unfreeze(Freeze {
            // Nobody of the quorum may have asked.
            requester: "otto".parse().unwrap(),
            signer: EVERY_SIGNER.parse().unwrap(),
            latch: Latch::All.to_string(),
            reason: "looked into".to_owned(),
        }),
    };
    let sign = |name| town.house.people.sign(name, "claviger-approval", &instruction.digest()).unwrap();
    let approvals = ["olga", "omar"].map(sign);
    let evidence = Evidence { customer_request: None, approvals: approvals.to_vec() };
    let wire = claviger::wire::instruction(&instruction, &evidence);
    for client in &mut signers(town, places) {
        client.call(RequestBody::Execute { instruction: wire.clone() }).unwrap();
    }
}

/// The hot wallet.
pub fn hot(town: &Town) -> WalletDescriptor {
    WalletDescriptor::parse(&town.house.charter.wallets[0].descriptor, Network::Regtest).unwrap()
}

/// Fresh connections to some of the signers.
pub fn signers(town: &Town, places: &[usize]) -> Vec<SignerClient> {
    let config = claviger::config::Config::read(&town.house.directory().join("claviger.json")).unwrap();
    let all = claviger::custody::connect_signers(&config).unwrap().into_iter().enumerate();
    all.filter(|(place, _)| places.contains(place)).map(|(_, client)| client).collect()
}
