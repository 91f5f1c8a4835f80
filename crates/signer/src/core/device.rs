//! The key inside a device in the core: opened by a key quorum and by somebody who holds the PIN, closed as any other key.

use std::path::PathBuf;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::ecdsa;
use chains::bitcoin::{OutsideError, PartialSignature, sign_outside};
use policy::Charter;
use signer_wire::ReplyBody;
use types::{Digest, KeyState, Moment, OperatorId, SignerId, WalletId};
use zeroize::Zeroizing;

use super::life::Window;
use super::release::Pending;
use super::{Core, path};
use crate::device::{DeviceFacts, DeviceKey, Wanted};
use crate::life::{Actor, KeyName};
use crate::record::Event;
use crate::refusal::{Code, Refused};

fn fits(charter: &Charter, signer: &SignerId, facts: Option<&DeviceFacts>) -> Result<(), Refused> {
    let wanted = charter.signer(signer).map_or("", |own| own.device.as_str());
    if wanted.is_empty() || facts.is_some_and(|facts| facts.kind() == wanted) {
        return Ok(());
    }
    let found = facts.map_or_else(|| "a sealed file".to_owned(), |facts| format!("a device {}", facts.kind()));
    let reason = format!("the charter wants the keys of this signer in a device {wanted}; this one is in {found}");
    Err(Refused::new(Code::Device, reason))
}

impl Core {
    /// Says which library speaks to the device. It was loaded already: a running signer loads no code.
    pub fn use_module(&mut self, module: PathBuf) {
        self.module = Some(module);
    }

    /// Opens the key inside the device, if a key quorum lets it be opened: for somebody who holds the PIN and does not administer this
    /// machine, in a device of the kind that the charter wants. What the device says of itself is written down.
    ///
    /// # Errors
    /// `not-authorised`, `k3-holder`, `device-pin`, `device`.
    pub fn open_device(
        &mut self,
        wanted: &Wanted,
        pin: Zeroizing<Vec<u8>>,
        person: &OperatorId,
        terminal: &str,
        now: Moment,
    ) -> Result<Vec<WalletId>, Refused> {
        self.check_clock(now)?;
        let in_device = |wallet: WalletId| {
            let account = *self.own.get(&wallet)?;
            self.keys.in_device(account).map(|public| (wallet, account, public))
        };
        let Some((wallet, account, public)) = self.openable(now).into_iter().find_map(in_device) else {
            let reason = "no key quorum lets a device's key of this signer be opened now; propose an activation";
            return Err(Refused::new(Code::NotAuthorised, reason));
        };
        let known = self.state.life.devices.get(&account).cloned();
        let known = known.ok_or_else(|| Refused::new(Code::Device, "the journal does not know the device's key"))?;
        if !known.holders.contains(person) {
            return Err(Refused::new(Code::K3Holder, format!("{person} does not hold the PIN of the device")));
        }
        if let Some(both) = self.custodians().iter().find(|custodian| known.holders.contains(custodian)) {
            let reason =
                format!("{both} administers this machine and holds the PIN of its device; name another custodian");
            return Err(Refused::new(Code::K3Holder, reason));
        }
        let module = self.module.clone();
        let module =
            module.ok_or_else(|| Refused::new(Code::Device, "this signer runs without a device: --device-module"))?;
        let cause = |facts: &DeviceFacts| format!("opened in the device {} {}", facts.label, facts.serial);
        let by = |cause| Actor { person: person.to_string(), terminal: terminal.to_owned(), cause };
        // A token that is open would let in whoever asks without looking at the PIN.
        self.keys.close(account);
        let opened = DeviceKey::open(&module, wanted, &known.facts, public, pin);
        let opened = opened.and_then(|key| self.check_device(Some(key.facts())).map(|()| key));
        let written = opened.and_then(|key| {
            let name = KeyName::signature(account);
            let open = self.state.life.state(&name) == Some(KeyState::InUse);
            // Opened and proven by its public half.
            let moves =
                if open { vec![] } else { path(&name, &[KeyState::Inactive, KeyState::Active, KeyState::InUse]) };
            self.check_moves(&moves)?;
            let (facts, by) = (key.facts().clone(), (&by(cause(key.facts()))).into());
            let event = Event::Device { account, facts, holders: vec![], certificate: String::new(), moves, by };
            self.remember(self.stamp(now), event).map(|_| key)
        });
        match written {
            Ok(key) => self.keys.open_device(account, key),
            Err(refused) => {
                self.close_keys(
                    std::slice::from_ref(&wallet),
                    &by(format!("not opened again: {}", refused.code)),
                    now,
                )?;
                return Err(refused);
            }
        }
        if let Some(allowed) = self.allowed(&wallet, now) {
            self.windows.insert(wallet.clone(), Window::new(allowed));
        }
        Ok(vec![wallet])
    }

    /// Refuses a key that is not in a device of the kind that the charter wants; `facts` are none for a key that is in no device.
    pub(super) fn check_device(&self, facts: Option<&DeviceFacts>) -> Result<(), Refused> {
        fits(self.charter()?, &self.id, facts)
    }

    /// Whether a wallet's key is open and not where this charter wants it.
    pub(super) fn is_misplaced(&self, wallet: &WalletId, charter: &Charter) -> bool {
        let device = self.own.get(wallet).and_then(|account| self.keys.device(*account));
        fits(charter, &self.id, device.map(DeviceKey::facts)).is_err()
    }

    /// Has the device sign, if the wallet's key is in one; none if it is not.
    pub(super) fn sign_in_device(&self, pending: &Pending) -> Option<Result<Vec<PartialSignature>, Refused>> {
        let device = self.own.get(&pending.wallet).and_then(|account| self.keys.device(*account))?;
        let sign = |digest: &[u8; 32]| device.sign(digest);
        let parts = sign_outside(&pending.transaction, &pending.effects, device.public(), self.keys.secp(), sign);
        Some(parts.map_err(|error| match error {
            OutsideError::Outside(refused) => refused,
            OutsideError::Sign(error) => Refused::new(Code::Signing, error.to_string()),
        }))
    }

    /// A device that failed has no session any more: the key is closed, and is opened again by people once the device is back.
    pub(super) fn after_failure(&mut self, wallet: &WalletId, refused: Refused, now: Moment) -> Refused {
        if matches!(refused.code, Code::Device | Code::DeviceGone) {
            let by = Actor { cause: format!("the device failed: {}", refused.reason), ..Actor::default() };
            // Closed in memory in any case; a journal that cannot be written is caught up with by the next tick.
            let _ = self.close_keys(std::slice::from_ref(wallet), &by, now);
        }
        refused
    }

    /// A canary by the device's key, where no other key is open. It draws a nonce like any signature of that key, so that it is written
    /// down before it leaves.
    pub(super) fn device_canary(&mut self, text: &str, now: Moment) -> Result<ReplyBody, Refused> {
        let open = self.windows.keys().find_map(|wallet| {
            let device = self.own.get(wallet).and_then(|account| self.keys.device(*account))?;
            Some((wallet.clone(), device))
        });
        let Some((wallet, device)) = open else {
            let reason = "no key of this signer is open; a key quorum lets them be opened";
            return Err(Refused::new(Code::KeyInactive, reason));
        };
        let digest = sha256::Hash::hash(text.as_bytes()).to_byte_array();
        let public = device.public().serialize();
        let signature = match device.sign(&digest) {
            Ok(signature) => signature,
            Err(refused) => return Err(self.after_failure(&wallet, refused, now)),
        };
        let message = Digest::of(&[&digest, &public]);
        let kept = match self.check_nonce(&signature, &message) {
            Ok(kept) => kept,
            Err(refused) => return Err(self.after_repetition(refused, now)),
        };
        let wrong = |_| Refused::new(Code::Signing, "a signature has no form");
        let der = ecdsa::Signature::from_compact(&signature).map_err(wrong)?.serialize_der();
        self.remember(now, Event::CanarySigned { signature: kept })?;
        Ok(ReplyBody::Canary { public_key: hex::encode(public), signature: hex::encode(der) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bitcoin::secp256k1::{Secp256k1, SecretKey};
    use sealing::{Kek, NewSlot};
    use types::{Latch, Network};

    use super::*;
    use crate::device::NewDevice;
    use crate::enrol::{self, Birth, files};
    use crate::seed::Seed;

    fn facts() -> DeviceFacts {
        DeviceFacts {
            manufacturer: "maker".to_owned(),
            model: "model".to_owned(),
            firmware: "1.2".to_owned(),
            serial: "77".to_owned(),
            label: "alpha".to_owned(),
            key: "sign".to_owned(),
        }
    }

    fn open(directory: &std::path::Path) -> Core {
        let (id, keys, _) = enrol::load(directory).unwrap();
        Core::open(id, keys, &directory.join(files::JOURNAL)).unwrap()
    }

    fn signer(directory: &std::path::Path) -> Core {
        let holders = BTreeSet::from(["kim".parse().unwrap(), "kit".parse().unwrap()]);
        let kek = || Kek::from_bytes(&[7; 32]);
        let slots =
            || vec![NewSlot::shares("desk".parse().unwrap(), holders.clone(), "1".to_owned(), 2, kek()).unwrap()];
        let public_key = SecretKey::from_slice(&[5; 32]).unwrap().public_key(&Secp256k1::new());
        let certificate = "CMVP 4321".to_owned();
        let birth = Birth {
            id: "s1".parse().unwrap(),
            network: Network::Regtest,
            accounts: 2,
            device: Some(NewDevice { public_key, facts: facts(), holders: holders.clone(), certificate }),
            seed: Seed::from_bytes(&[9; 32], Network::Regtest).unwrap(),
            seed_slots: slots(),
            account_slots: slots(),
            by: Actor::default(),
            now: Moment::from_seconds(1),
            ceremony: None,
        };
        let enrolment = enrol::create(directory, birth).unwrap();
        assert_eq!(enrolment.accounts.len(), 3);
        assert_eq!(enrolment.device, Some(facts()));
        open(directory)
    }

    #[test]
    fn a_nonce_that_a_device_draws_again_is_refused_whatever_it_signs_and_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut core = signer(directory.path());
        let (signature, other) = ([3; 64], [4; 64]);
        let [one, two] = [b"one", b"two"].map(|text| Digest::of(&[text]));
        let kept = core.check_nonce(&signature, &one).unwrap();
        core.remember(Moment::from_seconds(2), Event::CanarySigned { signature: kept }).unwrap();
        for _ in 0..2 {
            assert!(core.check_nonce(&signature, &one).is_ok(), "the same signature again tells nothing");
            assert_eq!(core.check_nonce(&signature, &two).unwrap_err().code, Code::NonceRepeated);
            assert!(core.check_nonce(&other, &two).is_ok());
            drop(core);
            core = open(directory.path());
        }
        // One repetition freezes everything, once and for longer than the process; another refusal freezes nothing.
        let now = Moment::from_seconds(3);
        let harmless = core.after_repetition(Refused::new(Code::Signing, "x"), now);
        assert!(harmless.code == Code::Signing && !core.latches().contains(&Latch::All));
        for _ in 0..2 {
            let refused = core.check_nonce(&signature, &two).unwrap_err();
            assert_eq!(core.after_repetition(refused, now).code, Code::NonceRepeated);
        }
        drop(core);
        assert!(open(directory.path()).latches().contains(&Latch::All));
    }

    #[test]
    fn what_a_device_said_stays_in_the_journal_and_its_holders_do_not_change() {
        let directory = tempfile::tempdir().unwrap();
        let mut core = signer(directory.path());
        let line = |core: &Core| match core.board(Moment::from_seconds(9)) {
            ReplyBody::Board { keys, .. } => {
                let of =
                    |account: &str| keys.iter().find(|key| key.kind == "signature" && key.name == account).cloned();
                (of("1").unwrap().device, of("2").unwrap().device)
            }
            other => panic!("{other:?}"),
        };
        let first = "maker/model/1.2, serial number 77, certificate CMVP 4321".to_owned();
        assert_eq!(line(&core), (String::new(), first));
        let record = |facts: DeviceFacts, holders: Vec<String>| {
            let (certificate, moves, by) = (String::new(), vec![], (&Actor::default()).into());
            Event::Device { account: 2, facts, holders, certificate, moves, by }
        };
        let second = DeviceFacts { serial: "78".to_owned(), ..facts() };
        core.remember(Moment::from_seconds(2), record(second.clone(), vec![])).unwrap();
        drop(core);
        let core = open(directory.path());
        assert_eq!(line(&core).1, "maker/model/1.2, serial number 78, certificate CMVP 4321");
        let device = &core.state.life.devices[&2];
        assert_eq!(device.holders.iter().map(ToString::to_string).collect::<Vec<_>>(), ["kim", "kit"]);
        drop(core);
        let mut core = open(directory.path());
        assert!(core.remember(Moment::from_seconds(3), record(second, vec!["carl".to_owned()])).is_err());
    }
}
