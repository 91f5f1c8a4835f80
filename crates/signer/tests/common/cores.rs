//! Three signers inside the test, with the time in the test's hands.

use std::path::{Path, PathBuf};

use bitcoin::Transaction;
use bitcoin::psbt::Psbt;
use chains::bitcoin::{Caps, PartialSignature, Payment, combine, finalize, inspect, parse_address};
use signer::core::Core;
use signer::enrol::{self, files};
use signer::vault::Opener;
use signer_wire::{Head, Instruction as WireInstruction, ReplyBody, RequestBody, Signature, Statement};
use types::{Instruction, Moment, Network};

use super::{House, hex_of};

pub struct Cores {
    pub house: House,
    pub cores: Vec<Option<Core>>,
    pub directories: Vec<tempfile::TempDir>,
    pub now: Moment,
    pub enrolments: Vec<enrol::Enrolment>,
}

fn open(directory: &Path) -> Core {
    let start = std::time::Instant::now();
    loop {
        let (id, keys, _) = enrol::load(directory).unwrap();
        match Core::open(id, keys, &directory.join(files::JOURNAL)) {
            // Another test is starting ssh-keygen just now: until that process has become the program, it has our open files,
            // and with them the journal's lock.
            Err(error) if format!("{error:?}").contains("Held") && start.elapsed().as_secs() < 20 => {
                std::thread::yield_now();
            }
            opened => return opened.unwrap(),
        }
    }
}

impl Cores {
    /// What a signer says that it has used of the automatic tier.
    pub fn used(&mut self, position: usize) -> u64 {
        let ReplyBody::Exposure(limits) = self.ask(position, RequestBody::Exposure) else { panic!("no exposure") };
        limits.iter().find(|limit| limit.tier == "automatic").unwrap().used.parse().unwrap()
    }

    /// Time passes, and the signers at these places notice.
    pub fn pass(&mut self, positions: &[usize], mut seconds: i64) {
        while seconds > 0 {
            let step = seconds.min(7_000);
            (self.now, seconds) = (self.now.plus_seconds(step), seconds - step);
            for position in positions {
                code(self.ask(*position, RequestBody::Canary { challenge: String::new() })).unwrap();
            }
        }
    }

    pub fn start() -> Cores {
        Cores::decided(|_| {})
    }

    /// With another first charter.
    pub fn decided(decide: impl Fn(&mut policy::Charter)) -> Cores {
        let mut fleet = Cores::closed(decide);
        (0..3).for_each(|position| fleet.open(position).unwrap());
        fleet
    }

    /// Signers whose keys may be opened, and are closed.
    pub fn closed(decide: impl Fn(&mut policy::Charter)) -> Cores {
        let now = Moment::from_seconds(1_800_000_000);
        let directories: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let enrolments: Vec<_> = directories
            .iter()
            .zip(1..)
            .map(|(directory, n)| {
                let born = Moment::from_seconds(super::BORN);
                enrol::create(directory.path(), super::birth(&format!("s{n}"), born)).unwrap()
            })
            .collect();
        let house = House::new(&enrolments, decide);
        let mut cores = Vec::new();
        for directory in &directories {
            let mut core = open(directory.path());
            core.adopt_first(&house.charter, &house.genesis, now).unwrap();
            cores.push(Some(core));
        }
        let mut fleet = Cores { house, cores, directories, now, enrolments };
        (0..3).for_each(|position| fleet.relay(position, &[0, 1, 2]).unwrap());
        let activation = fleet.house.activation("hot", 900_000_000, 1_000_000, now);
        for position in 0..3 {
            let execute = RequestBody::Execute { instruction: activation.clone() };
            code(fleet.ask(position, execute)).unwrap();
        }
        fleet
    }

    /// Somebody who holds what opens this signer's keys opens them; the refusal's code on failure.
    pub fn open(&mut self, position: usize) -> Result<(), String> {
        let (person, slot, kek) = (super::HOLDER.parse().unwrap(), super::SLOT.parse().unwrap(), super::kek());
        let opener = Opener { person: &person, terminal: "tty1", slot: &slot, kek: &kek };
        let directory = self.directories[position].path();
        let now = self.now;
        let opened = self.cores[position].as_mut().unwrap().open_sealed(directory, &opener, now);
        opened.map(|_| ()).map_err(|refused| refused.code.to_string())
    }

    pub fn ask(&mut self, position: usize, question: RequestBody) -> ReplyBody {
        let now = self.now;
        self.cores[position].as_mut().unwrap().handle(&question, now)
    }

    /// As a crash leaves it, or with its journal exchanged by `meanwhile`: starts the signer anew, not admitted yet.
    pub fn restart(&mut self, position: usize, meanwhile: impl Fn(PathBuf)) {
        self.cores[position] = None;
        let directory = self.directories[position].path().to_owned();
        meanwhile(directory.join(files::JOURNAL));
        self.cores[position] = Some(open(&directory));
    }

    /// Relays what the peers among `witnesses` remember; the refusal's code on failure.
    pub fn relay(&mut self, position: usize, witnesses: &[usize]) -> Result<(), String> {
        let ReplyBody::Hello { signer, nonce, .. } = self.ask(position, RequestBody::Hello) else { panic!("no hello") };
        let mut statements = Vec::new();
        for peer in witnesses.iter().filter(|peer| **peer != position) {
            let question = RequestBody::Recall { signer: signer.clone(), nonce: nonce.clone() };
            if let ReplyBody::Statement(statement) = self.ask(*peer, question) {
                statements.push(statement);
            }
        }
        code(self.ask(position, RequestBody::Admit { statements })).map(|_| ())
    }

    /// Has a signer admitted, and its keys opened again.
    pub fn admit(&mut self, position: usize, witnesses: &[usize]) -> Result<(), String> {
        self.relay(position, witnesses)?;
        // What a restart closed is opened again while the quorum's window lasts.
        match self.open(position) {
            Err(code) if code != "not-authorised" => Err(code),
            _ => Ok(()),
        }
    }

    pub fn prepare(
        &mut self,
        position: usize,
        wires: &[WireInstruction],
        psbt: &Psbt,
    ) -> Result<(String, Head), String> {
        let question = RequestBody::Prepare { instructions: wires.to_vec(), psbt: hex_of(psbt) };
        match code(self.ask(position, question))? {
            ReplyBody::Prepared { ticket, head } => Ok((ticket, head)),
            other => panic!("{other:?}"),
        }
    }

    pub fn witness(&mut self, position: usize, head: &Head) -> Result<Statement, String> {
        match code(self.ask(position, RequestBody::Witness { head: head.clone() }))? {
            ReplyBody::Statement(statement) => Ok(statement),
            other => panic!("{other:?}"),
        }
    }

    pub fn release(
        &mut self,
        position: usize,
        ticket: &str,
        statements: Vec<Statement>,
    ) -> Result<Vec<Signature>, String> {
        match code(self.ask(position, RequestBody::Release { ticket: ticket.to_owned(), statements }))? {
            ReplyBody::Signatures(signatures) => Ok(signatures),
            other => panic!("{other:?}"),
        }
    }

    /// The whole session of two signers; the network's transaction, or the first refusal's code.
    pub fn sign(&mut self, pair: [usize; 2], wires: &[WireInstruction], psbt: &Psbt) -> Result<Transaction, String> {
        let [one, two] = pair;
        let (ticket_one, head_one) = self.prepare(one, wires, psbt)?;
        let (ticket_two, head_two) = self.prepare(two, wires, psbt)?;
        let about_one = self.witness(two, &head_one)?;
        let about_two = self.witness(one, &head_two)?;
        let mut signatures = self.release(one, &ticket_one, vec![about_one])?;
        signatures.extend(self.release(two, &ticket_two, vec![about_two])?);
        self.settle();
        Ok(self.finish(wires, psbt, &signatures))
    }

    /// Tells every signer what its peers know of the transactions that it has released.
    pub fn settle(&mut self) {
        let mut attestations = Vec::new();
        for position in 0..3 {
            let ReplyBody::Standing(standing) = self.ask(position, RequestBody::Standing { after: String::new() })
            else {
                panic!("no answer")
            };
            for one in standing {
                for peer in 0..3 {
                    let question =
                        RequestBody::Attest { txid: one.txid.clone(), instructions: one.instructions.clone() };
                    if let ReplyBody::Attested(said) = self.ask(peer, question) {
                        attestations.extend(said);
                    }
                }
            }
        }
        for position in 0..3 {
            self.ask(position, RequestBody::Settle { attestations: attestations.clone() });
        }
    }

    /// Combines and finishes, as the online system does.
    pub fn finish(&self, wires: &[WireInstruction], psbt: &Psbt, signatures: &[Signature]) -> Transaction {
        finish(&self.house, wires, psbt, signatures)
    }
}

pub fn finish(house: &House, wires: &[WireInstruction], psbt: &Psbt, signatures: &[Signature]) -> Transaction {
    let wallet = house.wallet("hot");
    let payments: Vec<_> = wires
        .iter()
        .map(|wire| {
            let instruction = Instruction::from_canonical(wire.canonical.as_bytes()).unwrap();
            let script = parse_address(instruction.destination().unwrap(), Network::Regtest).unwrap();
            Payment { script, sats: instruction.amount().unwrap().to_sats().unwrap() }
        })
        .collect();
    let caps = Caps { fee_sats_max: 50_000, sats_per_kvb_max: 200_000, change_index_max: 100 };
    let effects = inspect(psbt, &wallet, &payments, &caps).unwrap();
    let parts: Vec<_> = signatures
        .iter()
        .map(|signature| PartialSignature {
            input: signature.input,
            public_key: hex::decode(&signature.public_key).unwrap(),
            signature: hex::decode(&signature.signature).unwrap(),
        })
        .collect();
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let mut psbt = psbt.clone();
    combine(&mut psbt, &effects, &parts, &secp).unwrap();
    finalize(&psbt, &wallet, &effects).unwrap()
}

/// A refusal's stable name, or the answer.
pub fn code(reply: ReplyBody) -> Result<ReplyBody, String> {
    match reply {
        ReplyBody::Refused(refusal) => Err(refusal.code.to_string()),
        other => Ok(other),
    }
}
