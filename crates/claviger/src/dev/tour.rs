//! The story: coins arrive, leave by the customer's wish and with people's approval, are attacked, and go to the cold wallet.

use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::{OutPoint, Transaction};
use chains::bitcoin::{Branch, WalletDescriptor};
use signer_client::sign;
use signer_wire::{Evidence, Instruction as Wire, ReplyBody, RequestBody};
use types::{Amount, Asset, Body, Instruction, Moment, Network, Payment, Transfer, grouped, sentence, words};

use super::House;
use super::purse::{Draft, Purse};
use super::terminal::{chapter, fact, refused, step};
use crate::Outcome;

const ASSET: Asset = Asset::Bitcoin(Network::Regtest);
/// Most fee that the tour's instructions allow, in satoshis.
const FEE_MAX: u64 = 50_000;

fn now() -> Moment {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_micros());
    Moment::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// Plays it and ends with balances and transaction identifiers.
pub fn play(house: &mut House) -> Outcome {
    let mut story = Story::begin(house)?;
    story.deposits()?;
    story.automatic()?;
    story.attack()?;
    story.approved_and_bumped()?;
    story.sweep()?;
    story.end()
}

struct Story<'a> {
    house: &'a mut House,
    hot: WalletDescriptor,
    cold: WalletDescriptor,
    purse: Purse,
    txids: Vec<(String, String)>,
    received: u64,
    paid: u64,
    fees: u64,
    swept: u64,
}

impl<'a> Story<'a> {
    fn begin(house: &'a mut House) -> Outcome<Story<'a>> {
        let wallet = |name: &str| {
            let wallet =
                house.charter.wallets.iter().find(|wallet| wallet.id.as_str() == name).ok_or("no such wallet")?;
            WalletDescriptor::parse(&wallet.descriptor, Network::Regtest).map_err(|error| error.to_string())
        };
        let (hot, cold) = (wallet("hot")?, wallet("cold")?);
        let purse = Purse::new(&house.charter, hot.clone());
        Ok(Story { house, hot, cold, purse, txids: vec![], received: 0, paid: 0, fees: 0, swept: 0 })
    }

    fn deposits(&mut self) -> Outcome {
        chapter("Two deposits arrive");
        for (index, sats) in [(0, 90_000_000), (1, 60_000_000)] {
            let derived = self.hot.derive(Branch::Receive, index).map_err(|error| error.to_string())?;
            let txid = step(&format!("{} test BTC to address {index}", decimal(sats)), || {
                let txid = self.house.node.pay(&derived.address, sats).map_err(|error| error.to_string())?;
                self.house.node.mine(1).map_err(|error| error.to_string())?;
                Ok(txid)
            })?;
            fact("address", grouped(&derived.address));
            let transaction = self.house.node.client().transaction(&txid).map_err(|error| error.to_string())?;
            self.received += self.purse.take(&transaction, Branch::Receive, index)?;
            self.txids.push((format!("deposit {index}"), txid.to_string()));
        }
        Ok(())
    }

    fn automatic(&mut self) -> Outcome {
        chapter("Alice withdraws 0.03 test BTC: small enough for the automatic tier, with her own signature");
        let (instruction, wire) = self.withdrawal("order-1", 3_000_000)?;
        let draft = self.draft(&[&instruction], 5_000, &[])?;
        let transaction = self.sign("two of three signers check everything and sign", &[wire], &draft)?;
        self.confirm("automatic withdrawal", &draft, &transaction)?;
        self.paid += 3_000_000;
        Ok(())
    }

    fn attack(&mut self) -> Outcome {
        chapter("An attacker owns the server, the database and all their secrets, and asks the signers directly");
        let (instruction, wire) = self.withdrawal("order-2", 4_000_000)?;
        let mallory = self.house.node.outside_address().map_err(|error| error.to_string())?;
        let mut elsewhere = instruction.clone();
        if let Body::CustomerWithdrawal(payment) = &mut elsewhere.body {
            payment.destination = mallory;
        }
        let edited = to_wire(&elsewhere, wire.evidence.clone());
        let draft = self.draft(&[&elsewhere], 5_000, &[])?;
        self.expect_refusal("pay another address than Alice signed for", &edited, &draft)?;
        let draft = self.draft(&[&elsewhere], 5_000, &[])?;
        self.expect_refusal("keep Alice's instruction, pay another address in the transaction", &wire, &draft)?;
        let (large, plain) = self.withdrawal("order-3", 50_000_000)?;
        let draft = self.draft(&[&large], 5_000, &[])?;
        self.expect_refusal("move a large amount without any approval", &plain, &draft)?;
        let draft = self.draft(&[&instruction], 400_000, &[])?;
        self.expect_refusal("burn coins as fee", &wire, &draft)?;
        self.exposure()
    }

    fn approved_and_bumped(&mut self) -> Outcome {
        chapter("Alice withdraws 0.5 test BTC: two operators of two organisations approve, each with ssh-keygen");
        let (instruction, mut wire) = self.withdrawal("order-4", 50_000_000)?;
        fact("sentence", sentence(&instruction));
        fact("words", words(&instruction.digest()).join(" "));
        let draft = self.draft(&[&instruction], 2_000, &[])?;
        wire.evidence.approvals.push(self.house.people.approve("olga", &instruction)?);
        self.expect_refusal("one approval is not enough", &wire, &draft)?;
        wire.evidence.approvals.push(self.house.people.approve("omar", &instruction)?);
        let wires = [wire];
        let slow = self.sign("both approvals are there: two signers sign", &wires, &draft)?;
        self.house.node.client().broadcast(&slow).map_err(|error| error.to_string())?;
        let anchors: Vec<OutPoint> = slow.input.iter().map(|input| input.previous_output).collect();
        let draft = self.draft(&[&instruction], 20_000, &anchors)?;
        let fast = self.sign(
            "the fee is too low: the same payment again, from the same coins, with more fee",
            &wires,
            &draft,
        )?;
        self.confirm("approved withdrawal", &draft, &fast)?;
        self.paid += 50_000_000;
        let other = self.draft(&[&instruction], 5_000, &[])?;
        self.expect_no_quorum("the same instruction once more, from other coins", &wires, &other)
    }

    fn sweep(&mut self) -> Outcome {
        chapter("Olga asks to move 0.4 test BTC to the cold wallet; Omar approves");
        let derived = self.cold.derive(Branch::Receive, 0).map_err(|error| error.to_string())?;
        let created = now().whole_seconds();
        let parse = |_| "a name has no form".to_owned();
        let instruction = Instruction {
            id: "sweep-1".parse().map_err(parse)?,
            created,
            expires: created.plus_seconds(3600),
            charter: self.house.charter.version,
            body: Body::OperatorTransfer(Transfer {
                requester: "olga".parse().map_err(parse)?,
                asset: ASSET,
                wallet: "hot".parse().map_err(parse)?,
                destination_wallet: "cold".parse().map_err(parse)?,
                destination_index: 0,
                destination: derived.address,
                amount: Amount::from_sats(40_000_000),
                fee_max: Amount::from_sats(FEE_MAX),
            }),
        };
        let evidence = |approval| Evidence { customer_request: None, approvals: vec![approval] };
        let draft = self.draft(&[&instruction], 5_000, &[])?;
        let own = to_wire(&instruction, evidence(self.house.people.approve("olga", &instruction)?));
        self.expect_refusal("who asks cannot approve", &own, &draft)?;
        let wire = to_wire(&instruction, evidence(self.house.people.approve("omar", &instruction)?));
        let transaction = self.sign("Omar's approval counts: two signers sign", &[wire], &draft)?;
        self.confirm("sweep to cold", &draft, &transaction)?;
        self.swept += 40_000_000;
        Ok(())
    }

    fn end(&self) -> Outcome {
        chapter("What the chain has");
        let hot = self.purse.on_chain(&self.house.node)?;
        let expected = self.received - self.paid - self.fees - self.swept;
        fact("received", decimal(self.received));
        fact("paid", decimal(self.paid));
        fact("network fee", decimal(self.fees));
        fact("cold wallet", decimal(self.swept));
        fact("hot wallet", decimal(hot));
        if hot != expected || hot != self.purse.sats() {
            return Err(format!("the hot wallet should hold {expected} satoshis"));
        }
        println!("  equal to the satoshi\n");
        for (name, txid) in &self.txids {
            println!("  {name:22} {txid}");
        }
        Ok(())
    }

    fn withdrawal(&self, key: &str, sats: u64) -> Outcome<(Instruction, Wire)> {
        let destination = self.house.node.outside_address().map_err(|error| error.to_string())?;
        let body = format!(r#"{{"amount":"{sats}","asset":"{ASSET}","destination":"{destination}"}}"#);
        let request = self.house.people.request(key, body, now())?;
        let parse = |_| "a name has no form".to_owned();
        let customer = "alice".parse().map_err(parse)?;
        let created = now().whole_seconds();
        let instruction = Instruction {
            id: policy::withdrawal_id(&customer, key).ok_or("no identifier")?,
            created,
            expires: created.plus_seconds(3600),
            charter: self.house.charter.version,
            body: Body::CustomerWithdrawal(Payment {
                customer,
                asset: ASSET,
                wallet: "hot".parse().map_err(parse)?,
                destination,
                amount: Amount::from_sats(sats),
                fee_max: Amount::from_sats(FEE_MAX),
            }),
        };
        let wire = to_wire(&instruction, Evidence { customer_request: Some(request), approvals: vec![] });
        Ok((instruction, wire))
    }

    fn draft(&self, instructions: &[&Instruction], sats_per_kvb: u64, anchors: &[OutPoint]) -> Outcome<Draft> {
        let height = self.house.node.client().chain_info().map_err(|error| error.to_string())?.height;
        self.purse.draft(instructions, sats_per_kvb, anchors, height)
    }

    fn sign(&mut self, what: &str, wires: &[Wire], draft: &Draft) -> Outcome<Transaction> {
        let psbt = hex::encode(draft.psbt.serialize());
        let clients = &mut self.house.fleet.clients;
        let signed = step(what, || sign(clients, 2, wires, &psbt).map_err(|error| error.to_string()))?;
        self.purse.finish(draft, &signed)
    }

    fn confirm(&mut self, name: &str, draft: &Draft, transaction: &Transaction) -> Outcome {
        let node = &self.house.node;
        let txid = step("broadcast and confirmed", || {
            let txid = node.client().broadcast(transaction).map_err(|error| error.to_string())?;
            node.mine(1).map_err(|error| error.to_string())?;
            Ok(txid)
        })?;
        fact("fee", format!("{} sat", draft.fee_sats));
        self.fees += draft.fee_sats;
        self.txids.push((name.to_owned(), txid.to_string()));
        self.purse.settle(draft, transaction)
    }

    /// Asks every signer; the tour fails when one of them does not refuse.
    fn expect_refusal(&mut self, what: &str, wire: &Wire, draft: &Draft) -> Outcome {
        let psbt = hex::encode(draft.psbt.serialize());
        let mut codes = Vec::new();
        for client in &mut self.house.fleet.clients {
            let question = RequestBody::Prepare { instructions: vec![wire.clone()], psbt: psbt.clone() };
            match client.call(question) {
                Err(signer_client::CallError::Refused(refusal)) => codes.push(refusal.code),
                Err(error) => return Err(error.to_string()),
                Ok(_) => return Err(format!("a signer did not refuse: {what}")),
            }
        }
        codes.dedup();
        refused(what, &codes.join(", "));
        Ok(())
    }

    /// Asks for signatures in every way; the tour fails when a quorum of them comes back. A signer that did not take part in
    /// the first try knows nothing of it, which is why any two quorums share one that does.
    fn expect_no_quorum(&mut self, what: &str, wires: &[Wire], draft: &Draft) -> Outcome {
        let psbt = hex::encode(draft.psbt.serialize());
        let mut codes = Vec::new();
        for _ in 0..self.house.fleet.clients.len() {
            let Err(error) = sign(&mut self.house.fleet.clients, 2, wires, &psbt) else {
                return Err(format!("a quorum signed: {what}"));
            };
            codes.extend(error.refusals.into_iter().filter_map(|(_, error)| match error {
                signer_client::CallError::Refused(refusal) => Some(refusal.code),
                _ => None,
            }));
            self.house.fleet.clients.rotate_left(1);
        }
        codes.sort();
        codes.dedup();
        refused(what, &codes.join(", "));
        Ok(())
    }

    fn exposure(&mut self) -> Outcome {
        let client = self.house.fleet.clients.first_mut().ok_or("no signer")?;
        let answer = client.call(RequestBody::Exposure).map_err(|error| error.to_string())?;
        let ReplyBody::Exposure(limits) = answer else { return Err("no limits".to_owned()) };
        for limit in limits {
            let tier = if limit.tier.is_empty() { "all tiers" } else { &limit.tier };
            let sats = |text: &str| text.parse::<Amount>().map(|amount| amount.to_decimal(ASSET.decimals()));
            let most = sats(&limit.exposure_max).map_err(|error| error.to_string())?;
            let used = sats(&limit.used).map_err(|error| error.to_string())?;
            fact(
                tier,
                format!("at most {most} in {} s, whoever owns the server; used at this signer: {used}", limit.seconds),
            );
        }
        Ok(())
    }
}

fn to_wire(instruction: &Instruction, evidence: Evidence) -> Wire {
    Wire { canonical: String::from_utf8(instruction.canonical()).unwrap_or_default(), evidence }
}

fn decimal(sats: u64) -> String {
    Amount::from_sats(sats).to_decimal(ASSET.decimals())
}
