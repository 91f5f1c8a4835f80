//! Three signers without a network beside three connected ones, and what is carried between them.

use std::path::{Path, PathBuf};

use bitcoin::absolute::LockTime;
use bitcoin::psbt::Psbt;
use bitcoin::transaction::Version;
use bitcoin::{Transaction, TxOut};
use chains::bitcoin::{Branch, Caps, Change, Input, PartialSignature, Payment, combine, finalize, generate, inspect};
use signer::core::Core;
use signer::enrol::{self, files};
use signer::offline::Session;
use signer::vault::Opener;
use signer_wire::{
    Answer, Bundle, CARRIED_VERSION, Evidence, Instruction as WireInstruction, ReplyBody, RequestBody, Statement,
};
use types::{Amount, Asset, Body, Instruction, Moment, Network, Transfer};

use super::cores::Cores;
use super::{House, hex_of, wire};

pub struct Cold {
    pub fleet: Cores,
}

/// One refill of the hot wallet from the cold one.
pub struct Refill {
    pub instruction: Instruction,
    pub wire: WireInstruction,
    pub psbt: Psbt,
}

impl Refill {
    /// What connected signers say over.
    pub fn recall_nonce(&self) -> String {
        let txid = self.psbt.unsigned_tx.compute_txid().to_string();
        signer_wire::recall_nonce(&txid, std::iter::once(&self.instruction.digest()))
    }
}

/// The core of a signer in a directory of its own.
pub fn core(directory: &Path) -> Core {
    let start = std::time::Instant::now();
    loop {
        let (id, keys, _) = enrol::load(directory).unwrap();
        match Core::open(id, keys, &directory.join(files::JOURNAL)) {
            // As in the other tests: a process that is being started has the lock for a moment.
            Err(error) if format!("{error:?}").contains("Held") && start.elapsed().as_secs() < 20 => {
                std::thread::yield_now();
            }
            opened => return opened.unwrap(),
        }
    }
}

impl House {
    /// Where the cold signer `c1`, `c2` or `c3` lives.
    pub fn cold_home(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A refill of the hot wallet, approved by two people, from a coin of 9,000,000 satoshis that `salt` makes another one.
    pub fn refill(&self, id: &str, sats: u64, salt: u32, now: Moment) -> Refill {
        let created = now.whole_seconds();
        let instruction = Instruction {
            id: id.parse().unwrap(),
            created,
            expires: created.plus_seconds(3600),
            charter: self.charter.version,
            body: Body::OperatorTransfer(Transfer {
                requester: "oona".parse().unwrap(),
                asset: Asset::Bitcoin(Network::Regtest),
                wallet: "cold".parse().unwrap(),
                destination_wallet: "hot".parse().unwrap(),
                destination_index: 0,
                destination: self.wallet("hot").derive(Branch::Receive, 0).unwrap().address,
                amount: Amount::from_sats(sats),
                fee_max: Amount::from_sats(20_000),
            }),
        };
        let approvals = ["olga", "omar"].map(|name| self.approve(name, &instruction)).to_vec();
        let wire = wire(&instruction, Evidence { customer_request: None, approvals });
        let psbt = self.cold_psbt(sats, salt);
        Refill { instruction, wire, psbt }
    }

    pub fn cold_psbt(&self, sats: u64, salt: u32) -> Psbt {
        let cold = self.wallet("cold");
        let output = vec![TxOut {
            value: bitcoin::Amount::from_sat(9_000_000),
            script_pubkey: cold.derive(Branch::Receive, 0).unwrap().script_pubkey,
        }];
        let previous =
            Transaction { version: Version::TWO, lock_time: LockTime::from_consensus(salt), input: vec![], output };
        let coin = Input { previous, vout: 0, branch: Branch::Receive, index: 0 };
        let script = self.wallet("hot").derive(Branch::Receive, 0).unwrap().script_pubkey;
        let change = Change { index: 1, sats: 9_000_000 - sats - 1_000 };
        generate(&cold, &[coin], &[Payment { script, sats }], Some(change), 1, 100).unwrap()
    }

    pub fn bundle(
        &self,
        signer: &str,
        activation: &WireInstruction,
        refill: &Refill,
        statements: Vec<Statement>,
    ) -> Bundle {
        Bundle {
            version: CARRIED_VERSION,
            signer: signer.to_owned(),
            charters: vec![],
            steps: vec![activation.clone()],
            payments: vec![refill.wire.clone()],
            psbt: hex_of(&refill.psbt),
            statements,
        }
    }

    /// Combines answers to the network's transaction.
    pub fn finish_cold(&self, refill: &Refill, answers: &[Answer]) -> Transaction {
        let wallet = self.wallet("cold");
        let script = self.wallet("hot").derive(Branch::Receive, 0).unwrap().script_pubkey;
        let sats = refill.instruction.amount().unwrap().to_sats().unwrap();
        let caps = Caps { fee_sats_max: 50_000, sats_per_kvb_max: 200_000, change_index_max: 100 };
        let effects = inspect(&refill.psbt, &wallet, &[Payment { script, sats }], &caps).unwrap();
        let parts: Vec<_> = answers
            .iter()
            .flat_map(|answer| &answer.signatures)
            .map(|signature| PartialSignature {
                input: signature.input,
                public_key: hex::decode(&signature.public_key).unwrap(),
                signature: hex::decode(&signature.signature).unwrap(),
            })
            .collect();
        let mut psbt = refill.psbt.clone();
        combine(&mut psbt, &effects, &parts, &bitcoin::secp256k1::Secp256k1::new()).unwrap();
        finalize(&psbt, &wallet, &effects).unwrap()
    }
}

impl Cold {
    pub fn start() -> Cold {
        Cold::decided(|_| {})
    }

    /// Cold signers adopted the charter when the connected ones did.
    pub fn decided(decide: impl Fn(&mut policy::Charter)) -> Cold {
        let fleet = Cores::decided(decide);
        for name in ["c1", "c2", "c3"] {
            core(&fleet.house.cold_home(name))
                .adopt_first(&fleet.house.charter, &fleet.house.genesis, fleet.now)
                .unwrap();
        }
        Cold { fleet }
    }

    /// What the connected signers at `positions` remember of a cold one, over an instruction.
    pub fn statements(&mut self, name: &str, refill: &Refill, positions: &[usize]) -> Vec<Statement> {
        let nonce = refill.recall_nonce();
        let recall = |position: &usize| {
            let question = RequestBody::Recall { signer: name.to_owned(), nonce: nonce.clone() };
            match self.fleet.ask(*position, question) {
                ReplyBody::Statement(statement) => statement,
                other => panic!("{other:?}"),
            }
        };
        positions.iter().map(recall).collect()
    }

    /// A whole bundle with an activation of its own.
    pub fn bundle(&mut self, name: &str, refill: &Refill) -> Bundle {
        let activation = self.fleet.house.activation("cold", 3_600, 10, self.fleet.now);
        let statements = self.statements(name, refill, &[0, 1, 2]);
        self.fleet.house.bundle(name, &activation, refill, statements)
    }

    /// What a visit of kim's with a bundle comes to; the refusal's code on failure.
    pub fn visit(&self, name: &str, bundle: &Bundle) -> Result<Answer, String> {
        visit(&self.fleet.house.cold_home(name), bundle, self.fleet.now)
    }

    /// Tells connected signers of an answer's head.
    pub fn relay(&mut self, answer: &Answer, positions: &[usize]) {
        for position in positions {
            self.fleet.witness(*position, &answer.head).unwrap();
        }
    }
}

pub fn visit(directory: &Path, bundle: &Bundle, now: Moment) -> Result<Answer, String> {
    let mut core = core(directory);
    let (person, slot, kek) = (super::HOLDER.parse().unwrap(), super::SLOT.parse().unwrap(), super::kek());
    let opener = Opener { person: &person, terminal: "tty1", slot: &slot, kek: &kek };
    let code = |refused: signer::refusal::Refused| refused.code.to_string();
    let signed =
        Session::begin(&mut core, directory, bundle.clone(), now)
            .and_then(|mut session| {
                if session.moves_coins() { session.sign(&opener, &|| now) } else { session.carry_out_only(&|| now) }
            })
            .map_err(code);
    assert!(core.open_wallets().is_empty(), "no key stays open");
    signed
}
