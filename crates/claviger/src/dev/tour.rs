//! The story: coins arrive and are credited, one leaves with its block and comes back, coins go out by the customer's wish
//! and with people's approval, are attacked, and go to the cold wallet. Everything over the interfaces, as anyone would.

use bitcoin::Transaction;
use chains::bitcoin::WalletDescriptor;
use serde_json::{Value, json};
use signer_client::{CallError, sign};
use signer_wire::{Instruction as Wire, ReplyBody, RequestBody};
use types::{Amount, Asset, Body, Evidence, Instruction, Network, Payment, grouped};

use super::House;
use super::purse::{Draft, Purse};
use super::terminal::{chapter, fact, refused, step, until};
use crate::Outcome;
use crate::cli::Client;
use crate::custody::now;

const ASSET: Asset = Asset::Bitcoin(Network::Regtest);

/// Plays it and ends with balances and transaction identifiers.
pub fn play(house: &mut House) -> Outcome {
    let mut story = Story { house, txids: vec![] };
    story.deposits()?;
    story.reorganization()?;
    story.automatic()?;
    story.attack()?;
    story.approved_and_bumped()?;
    story.sweep()?;
    story.end()
}

struct Story<'a> {
    house: &'a mut House,
    txids: Vec<(String, String)>,
}

fn text(value: &Value, field: &str) -> String {
    value.pointer(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn decimal(sats: u64) -> String {
    Amount::from_sats(sats).to_decimal(ASSET.decimals())
}

/// The items of a list that comes back.
fn items(client: &Client, path: &str) -> Outcome<Vec<Value>> {
    Ok(client.get(path)?.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
}

impl Story<'_> {
    fn mine(&self, blocks: u32) -> Outcome {
        self.house.node.mine(blocks).map_err(|error| error.to_string())
    }

    fn available(&self, name: &str) -> Outcome<String> {
        let account = items(&self.house.customer(name)?, "/v1/account")?;
        Ok(account.first().map(|balance| text(balance, "/available")).unwrap_or_default())
    }

    fn deposits(&mut self) -> Outcome {
        chapter("The house's float and two deposits arrive");
        let (alice, bob, olga) =
            (self.house.customer("alice")?, self.house.customer("bob")?, self.house.operator("olga")?);
        let wanted = json!({"asset": ASSET.to_string(), "label": "the tour"});
        let float = olga.post("/v1/float/addresses", "float-1", &Value::Null)?;
        let of_alice = alice.post("/v1/addresses", "address-1", &wanted)?;
        let of_bob = bob.post("/v1/addresses", "address-1", &wanted)?;
        for (who, address, sats) in
            [("the house", &float, 1_000_000), ("alice", &of_alice, 90_000_000), ("bob", &of_bob, 60_000_000)]
        {
            let address = text(address, "/address");
            let txid = step(&format!("{} test BTC to {who}", decimal(sats)), || {
                self.house.node.pay(&address, sats).map_err(|error| error.to_string())
            })?;
            fact("address", grouped(&address));
            self.txids.push((format!("deposit of {who}"), txid.to_string()));
            if who == "alice" {
                self.mine(1)?;
            }
        }
        self.mine(2)?;
        self.credited("alice", 90_000_000)?;
        self.credited("bob", 60_000_000)
    }

    fn credited(&self, name: &str, sats: u64) -> Outcome {
        step(&format!("{name}'s balance is {} test BTC", decimal(sats)), || {
            until("the balance", || Ok((self.available(name)? == sats.to_string()).then_some(())))
        })
    }

    fn reorganization(&self) -> Outcome {
        chapter("The best chain leaves the block of bob's deposit, and brings it back");
        let fail = |error: node::NodeError| error.to_string();
        step("two blocks are left for three others, without the deposit", || {
            self.house.node.leave(2).map_err(fail)?;
            self.house.node.mine_empty(3).map_err(fail)
        })?;
        self.credited("bob", 0)?;
        step("two more blocks, with the deposit", || self.mine(2))?;
        self.credited("bob", 60_000_000)
    }

    fn withdraw(&self, key: &str, sats: u64) -> Outcome<String> {
        let destination = self.house.node.outside_address().map_err(|error| error.to_string())?;
        let body = json!({"amount": sats.to_string(), "asset": ASSET.to_string(), "destination": destination});
        Ok(text(&self.house.customer("alice")?.post("/v1/withdrawals", key, &body)?, "/id"))
    }

    /// Waits until a payment is in a state; the payment as it is then.
    fn reaches(&self, id: &str, state: &str) -> Outcome<Value> {
        let olga = self.house.operator("olga")?;
        until(&format!("{id} {state}"), || {
            let shown = olga.get(&format!("/v1/payments/{id}"))?;
            let now = text(&shown, "/payment/state");
            if now == state { Ok(Some(shown)) } else { Err(format!("{now}: {}", text(&shown, "/payment/reason"))) }
        })
    }

    fn settle(&mut self, name: &str, id: &str) -> Outcome {
        let shown = step("signed by two of three signers, and with the network", || self.reaches(id, "broadcast"))?;
        fact("tier", text(&shown, "/payment/tier"));
        let shown = step("confirmed, and final in the books", || {
            self.mine(1)?;
            self.reaches(id, "settled")
        })?;
        self.txids.push((name.to_owned(), text(&shown, "/payment/txid")));
        Ok(())
    }

    fn automatic(&mut self) -> Outcome {
        chapter("Alice withdraws 0.03 test BTC: small enough for the automatic tier, with her own signature");
        let id = self.withdraw("order-1", 3_000_000)?;
        self.settle("automatic withdrawal", &id)
    }

    fn attack(&mut self) -> Outcome {
        chapter("An attacker owns the server, the database and all their secrets, and asks the signers directly");
        let purse = self.purse()?;
        let (instruction, wire) = self.instruction("order-2", 4_000_000)?;
        let mallory = self.house.node.outside_address().map_err(|error| error.to_string())?;
        let mut elsewhere = instruction.clone();
        if let Body::CustomerWithdrawal(payment) = &mut elsewhere.body {
            payment.destination = mallory;
        }
        let edited = Wire {
            canonical: String::from_utf8(elsewhere.canonical()).unwrap_or_default(),
            evidence: wire.evidence.clone(),
        };
        let draft = self.draft(&purse, &elsewhere, 5_000)?;
        self.expect_refusal("pay another address than Alice signed for", &edited, &draft)?;
        self.expect_refusal("keep Alice's instruction, pay another address in the transaction", &wire, &draft)?;
        let (large, plain) = self.instruction("order-3", 50_000_000)?;
        let draft = self.draft(&purse, &large, 5_000)?;
        self.expect_refusal("move a large amount without any approval", &plain, &draft)?;
        let draft = self.draft(&purse, &instruction, 400_000)?;
        self.expect_refusal("burn coins as fee", &wire, &draft)?;
        self.exposure()
    }

    fn approved_and_bumped(&mut self) -> Outcome {
        chapter("Alice withdraws 0.5 test BTC: two operators of two organisations approve, each with ssh-keygen");
        let id = self.withdraw("order-4", 50_000_000)?;
        let shown = step("it waits for people", || self.reaches(&id, "awaiting-approval"))?;
        fact("sentence", text(&shown, "/sentence"));
        fact("words", text(&shown, "/words"));
        self.approve("olga", &id, &shown)?;
        let then = until("what is still missing", || {
            let reason = text(&self.reaches(&id, "awaiting-approval")?, "/payment/reason");
            Ok(reason.contains("counted are 1").then_some(reason))
        })?;
        fact("then", then);
        self.approve("omar", &id, &shown)?;
        let slow = step("two signers have signed, and it waits for a block", || self.reaches(&id, "broadcast"))?;
        let slow = text(&slow, "/payment/txid");
        let olga = self.house.operator("olga")?;
        step("the fee is too low: the same payment from the same coins, with more fee", || {
            olga.post(&format!("/v1/transactions/{slow}/bump"), "bump-1", &Value::Null)?;
            until("the replacement", || {
                let shown = olga.get(&format!("/v1/payments/{id}"))?;
                let states = shown.get("transactions").and_then(Value::as_array).cloned().unwrap_or_default();
                let sent = states.iter().any(|row| text(row, "/txid") != slow && text(row, "/state") == "broadcast");
                Ok(sent.then_some(()))
            })
        })?;
        self.settle("approved withdrawal", &id)?;
        let (instruction, wire) = self.stored(&id)?;
        let draft = self.draft(&self.purse()?, &instruction, 5_000)?;
        self.expect_no_quorum("the same instruction once more, from other coins", &wire, &draft)
    }

    fn approve(&self, operator: &str, id: &str, shown: &Value) -> Outcome {
        let instruction = Instruction::from_canonical(text(shown, "/canonical").as_bytes());
        let instruction = instruction.map_err(|error| error.to_string())?;
        step(&format!("{operator} approves with an SSH key"), || {
            let signature = self.house.people.approve(operator, &instruction)?.signature;
            let path = format!("/v1/payments/{id}/approvals");
            self.house.operator(operator)?.post(&path, &format!("{operator}-{id}"), &json!({"signature": signature}))
        })
        .map(|_| ())
    }

    fn sweep(&mut self) -> Outcome {
        chapter("Olga asks to move 0.4 test BTC to the cold wallet; Omar approves");
        let body =
            json!({"asset": ASSET.to_string(), "amount": "40000000", "wallet": "hot", "destination_wallet": "cold"});
        let olga = self.house.operator("olga")?;
        let id = text(&olga.post("/v1/transfers", "sweep-1", &body)?, "/id");
        let shown = self.reaches(&id, "awaiting-approval")?;
        fact("sentence", text(&shown, "/sentence"));
        let instruction = Instruction::from_canonical(text(&shown, "/canonical").as_bytes());
        let signature = self.house.people.approve("olga", &instruction.map_err(|error| error.to_string())?)?.signature;
        let path = format!("/v1/payments/{id}/approvals");
        let body = json!({"signature": signature}).to_string();
        let answer = olga.ask("POST", &path, "olga-sweep", &body)?;
        if answer.status != 403 {
            return Err("the requester's own approval was not refused".to_owned());
        }
        refused("who asks cannot approve", &text(&answer.body, "/code"));
        self.approve("omar", &id, &shown)?;
        self.settle("sweep to the cold wallet", &id)
    }

    fn end(&self) -> Outcome {
        chapter("What the books and the chain have");
        let olga = self.house.operator("olga")?;
        for account in items(&olga, "/v1/accounts")? {
            let sats: u64 = text(&account, "/available").parse().unwrap_or_default();
            fact(&text(&account, "/account"), format!("{:>12}", decimal(sats)));
        }
        let wallets = items(&olga, "/v1/reconciliation")?;
        for wallet in &wallets {
            if let Some(difference) = wallet.get("difference").and_then(Value::as_str) {
                return Err(format!("wallet {}: {difference}", text(wallet, "/wallet")));
            }
            let sats: u64 = text(wallet, "/chain").parse().map_err(|_| "the chain was not asked")?;
            fact(&format!("{} on chain", text(wallet, "/wallet")), decimal(sats));
        }
        if wallets.len() != 2 {
            return Err("both wallets should be compared".to_owned());
        }
        println!("  equal to the satoshi\n");
        for (name, txid) in &self.txids {
            println!("  {name:26} {txid}");
        }
        Ok(())
    }

    /// What an attacker who reads the chain and the database knows of the hot wallet's coins.
    fn purse(&self) -> Outcome<Purse> {
        let hot = self.house.charter.wallets.first().ok_or("no wallet")?;
        let descriptor =
            WalletDescriptor::parse(&hot.descriptor, Network::Regtest).map_err(|error| error.to_string())?;
        let mut purse = Purse::new(descriptor);
        for (_, txid) in &self.txids {
            let txid = txid.parse().map_err(|_| "a transaction has no form")?;
            let found: Transaction = self.house.node.client().transaction(&txid).map_err(|error| error.to_string())?;
            purse.take_all(&found);
        }
        purse.prune(&self.house.node)?;
        Ok(purse)
    }

    fn draft(&self, purse: &Purse, instruction: &Instruction, sats_per_kvb: u64) -> Outcome<Draft> {
        let height = self.house.node.client().chain_info().map_err(|error| error.to_string())?.height;
        purse.draft(&[instruction], sats_per_kvb, &[], height)
    }

    /// A withdrawal as Alice's key signs it, without the online system.
    fn instruction(&self, key: &str, sats: u64) -> Outcome<(Instruction, Wire)> {
        let destination = self.house.node.outside_address().map_err(|error| error.to_string())?;
        let body = json!({"amount": sats.to_string(), "asset": ASSET.to_string(), "destination": destination});
        let request = self.house.people.key("alice")?.sign("POST", policy::WITHDRAWALS_PATH, key, &body.to_string())?;
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
                fee_max: Amount::from_sats(50_000),
            }),
        };
        let evidence = Evidence { customer_request: Some(request), approvals: vec![] };
        Ok((instruction.clone(), crate::wire::instruction(&instruction, &evidence)))
    }

    /// A payment's instruction with everything that was said for it, as the database has it.
    fn stored(&self, id: &str) -> Outcome<(Instruction, Wire)> {
        let shown = self.house.operator("olga")?.get(&format!("/v1/payments/{id}"))?;
        let instruction = Instruction::from_canonical(text(&shown, "/canonical").as_bytes());
        let instruction = instruction.map_err(|error| error.to_string())?;
        let body = json!({
            "amount": instruction.amount().map(|amount| amount.to_string()),
            "asset": ASSET.to_string(),
            "destination": instruction.destination(),
        });
        let alice = self.house.people.key("alice")?;
        // Alice would even sign it again: the instruction stays paid.
        let request = alice.sign("POST", policy::WITHDRAWALS_PATH, "order-4", &body.to_string())?;
        let approvals = ["olga", "omar"]
            .iter()
            .map(|name| self.house.people.sign(name, "claviger-approval", &instruction.digest()));
        let evidence = Evidence { customer_request: Some(request), approvals: approvals.collect::<Outcome<_>>()? };
        Ok((instruction.clone(), crate::wire::instruction(&instruction, &evidence)))
    }

    /// Asks every signer; the tour fails when one of them does not refuse.
    fn expect_refusal(&mut self, what: &str, wire: &Wire, draft: &Draft) -> Outcome {
        let psbt = hex::encode(draft.psbt.serialize());
        let mut codes = Vec::new();
        for client in &mut self.house.fleet.clients {
            let question = RequestBody::Prepare { instructions: vec![wire.clone()], psbt: psbt.clone() };
            match client.call(question) {
                Err(CallError::Refused(refusal)) => codes.push(refusal.code.to_string()),
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
    fn expect_no_quorum(&mut self, what: &str, wire: &Wire, draft: &Draft) -> Outcome {
        let psbt = hex::encode(draft.psbt.serialize());
        let wires = [wire.clone()];
        let mut codes = Vec::new();
        for _ in 0..self.house.fleet.clients.len() {
            let Err(error) = sign(&mut self.house.fleet.clients, 2, &wires, &psbt) else {
                return Err(format!("a quorum signed: {what}"));
            };
            codes.extend(error.refusals.into_iter().filter_map(|(_, error)| match error {
                CallError::Refused(refusal) => Some(refusal.code.to_string()),
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
