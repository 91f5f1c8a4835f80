//! Tiers that count only approvals whose key cannot leave its device.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{NOW, approval, charter, keygen, operator, ssh_sign, withdrawal};
use ed25519_dalek::{Signer as _, SigningKey};
use policy::{
    ApprovalRefusal, Charter, Counted, Decision, Outcome, Question, Quorum, RelyingParty, Waits, count_approvals,
    decide,
};
use sha2::Digest as _;
use ssh_key::public::{Ed25519PublicKey, KeyData, SkEd25519};
use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey, Signature, SshSig};
use testkit::{Ceremony, Passkey};
use types::{Amount, Approval, Digest, Instruction, Moment};

const DOMAIN: &str = "custody.example";
const ORIGIN: &str = "https://desk.custody.example";
const NAMESPACE: &str = "claviger-approval";
/// Flags of an authenticator: present, verified, eligible for backup.
const STAYS: u8 = 1 | 4;
const SYNCED: u8 = 1 | 4 | 8;

/// A security key of SSH in software (PROTOCOL.u2f), since no hardware is there to touch.
struct SecurityKey(SigningKey);

impl SecurityKey {
    fn data(&self) -> KeyData {
        KeyData::SkEd25519(SkEd25519::new(Ed25519PublicKey(self.0.verifying_key().to_bytes()), "ssh:"))
    }

    fn line(&self) -> String {
        PublicKey::from(self.data()).to_openssh().unwrap()
    }

    /// What `ssh-keygen -Y sign` makes with the key plugged in; flags 1 when somebody touched it.
    fn sign(&self, digest: &Digest, flags: u8) -> String {
        let tail = [&[flags][..], &9u32.to_be_bytes()].concat();
        let message = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, format!("{digest}\n").as_bytes()).unwrap();
        let parts = [&sha2::Sha256::digest("ssh:")[..], &tail, &sha2::Sha256::digest(message)].concat();
        let bytes = [&self.0.sign(&parts).to_bytes()[..], &tail].concat();
        let signature = Signature::new(Algorithm::SkEd25519, bytes).unwrap();
        SshSig::new(self.data(), NAMESPACE, HashAlg::Sha512, signature).unwrap().to_pem(LineEnding::LF).unwrap()
    }
}

/// Olga and omar, each with a passkey in a device, and with SSH keys: olga's in a file, omar's a security key. Olga has another
/// passkey of which the charter does not say that it stays. The quorum's tier asks for keys that cannot leave their device.
struct House {
    charter: Charter,
    passkeys: [Passkey; 3],
    security_key: SecurityKey,
    file: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

fn house() -> House {
    let directory = tempfile::tempdir().unwrap();
    let passkeys = [1, 2, 4].map(|number| Passkey::new([number; 32]).unwrap());
    let security_key = SecurityKey(SigningKey::from_bytes(&[3; 32]));
    let (file, public) = keygen(directory.path(), "olga", "ed25519");
    let mut charter =
        charter(vec![operator("olga", "north", &[public]), operator("omar", "south", &[security_key.line()])]);
    for (person, passkey, device_bound) in [(0, 0, true), (1, 1, true), (0, 2, false)] {
        let public_key = passkeys[passkey].public_key().unwrap();
        let credential = passkeys[passkey].credential.clone();
        charter.operators[person].passkeys.push(policy::Passkey { credential, public_key, device_bound });
    }
    charter.relying_party = RelyingParty { id: DOMAIN.to_owned(), origin: ORIGIN.to_owned() };
    charter.tiers[1].device_bound = true;
    House { charter, passkeys, security_key, file, _directory: directory }
}

impl House {
    fn assert(&self, person: &str, passkey: usize, digest: &Digest, flags: u8) -> Approval {
        let ceremony = Ceremony { flags, ..Ceremony::new(DOMAIN, ORIGIN, digest.as_bytes()) };
        approval(person, self.passkeys[passkey].assert(&ceremony))
    }

    fn passkey(&self, person: usize, digest: &Digest) -> Approval {
        self.assert(["olga", "omar"][person], person, digest, STAYS)
    }

    fn file(&self, digest: &Digest) -> Approval {
        approval("olga", ssh_sign(&self.file, NAMESPACE, digest))
    }

    fn count(&self, instruction: &Instruction, approvals: &[Approval]) -> Counted {
        count_approvals(&self.charter, instruction, approvals, Moment::from_seconds(NOW))
    }

    fn decide(&self, instruction: &Instruction, approvals: &[Approval]) -> Decision {
        decide(&Question {
            charter: &self.charter,
            instruction,
            counted: &self.count(instruction, approvals),
            customer_signed: true,
            spent: &[],
            book: &[],
            waits: Waits::Elsewhere,
            fee_share: Amount::from_units(10),
            now: Moment::from_seconds(NOW),
        })
    }
}

fn waits(decision: &Decision) -> String {
    match &decision.outcome {
        Outcome::Waiting { missing } => missing.join("; or "),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_tier_that_says_so_counts_only_keys_that_cannot_leave_their_device() {
    let house = house();
    let instruction = withdrawal(5000);
    let digest = instruction.digest();
    let by_security_key = approval("omar", house.security_key.sign(&digest, 1));
    let allowed = Outcome::Allowed { tier: "quorum".to_owned() };
    for by_omar in [house.passkey(1, &digest), by_security_key.clone()] {
        let both = [house.passkey(0, &digest), by_omar];
        assert_eq!(house.decide(&instruction, &both).outcome, allowed);
    }
    // What the authenticator says of a key decides, also where the charter says nothing of it.
    let both = [house.assert("olga", 2, &digest, STAYS), by_security_key.clone()];
    assert_eq!(house.decide(&instruction, &both).outcome, allowed);
    // The same people with keys that can be copied: they approved, and are not counted here.
    for by_olga in [house.assert("olga", 2, &digest, SYNCED), house.file(&digest)] {
        let both = [by_olga, by_security_key.clone()];
        let counted = house.count(&instruction, &both);
        assert!(counted.refused.is_empty() && counted.meets(Quorum { people: 2, organisations: 2 }));
        assert_eq!(counted.device_bound, ["omar".parse().unwrap()].into());
        let decision = house.decide(&instruction, &both);
        assert_eq!(
            waits(&decision),
            "tier quorum needs 2 people of 2 organisations, counted are 1 of 1: \
             needs 1 more from north with a key that cannot leave its device; \
             the approval of olga does not count here: its key can leave its device"
        );
        assert!(decision.trace.iter().any(|line| line.contains("the approval of olga does not count here")));
        // A tier that does not say so counts them as ever.
        let mut easier = house.charter.clone();
        easier.tiers[1].device_bound = false;
        let counted = counted.in_tier(&easier, &easier.tiers[1]);
        assert_eq!(counted.people.len(), 2);
    }
}

#[test]
fn who_approved_with_a_key_that_can_be_copied_approves_again_and_is_one_person() {
    let house = house();
    let instruction = withdrawal(5000);
    let digest = instruction.digest();
    let (copied, stays) = (house.file(&digest), house.passkey(0, &digest));
    for (both, refused) in [
        ([copied.clone(), stays.clone()], vec![]),
        // The SSH key after the passkey says that she has read for herself: no second person, and no refusal either.
        ([stays.clone(), copied.clone()], vec![]),
        ([stays.clone(), stays.clone()], vec![("olga".parse().unwrap(), ApprovalRefusal::CountedTwice)]),
    ] {
        let counted = house.count(&instruction, &both);
        assert_eq!((counted.people.len(), counted.organisations.len(), counted.device_bound.len()), (1, 1, 1));
        assert_eq!(counted.refused, refused);
        assert!(waits(&house.decide(&instruction, &both)).contains("needs 1 more from south"));
    }
    let all = [copied, stays, house.passkey(1, &digest)];
    assert_eq!(house.decide(&instruction, &all).outcome, Outcome::Allowed { tier: "quorum".to_owned() });
}

#[test]
fn security_keys_count_when_touched_and_stock_openssh_reads_the_same_signature() {
    let house = house();
    let instruction = withdrawal(5000);
    let digest = instruction.digest();
    let signature = house.security_key.sign(&digest, 1);
    let counted = house.count(&instruction, &[approval("omar", signature.clone())]);
    assert_eq!((counted.refused.len(), counted.device_bound.len()), (0, 1));
    let untouched = [approval("omar", house.security_key.sign(&digest, 0))];
    let counted = house.count(&instruction, &untouched);
    assert_eq!(counted.refused, [("omar".parse().unwrap(), ApprovalRefusal::NoPresence)]);
    assert!(counted.device_bound.is_empty());
    assert!(stock_accepts(&signature, &digest), "ssh-keygen does not accept what the key in software made");
    assert!(!stock_accepts(&signature, &withdrawal(5001).digest()));
}

/// Whether `ssh-keygen` finds the signature sound, whoever made it.
fn stock_accepts(signature: &str, digest: &Digest) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (text, signature) = (file("text", &format!("{digest}\n")), file("text.sig", signature));
    let input = |path: &Path| Stdio::from(std::fs::File::open(path).unwrap());
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "check-novalidate", "-n", NAMESPACE, "-s"]).arg(signature).stdin(input(&text));
    command.output().unwrap().status.success()
}

#[test]
fn t08_a_charter_that_such_a_tier_would_lock_out_is_refused_with_the_reason() {
    let mut charter = house().charter;
    let reason = |charter: &Charter| charter.check().map_err(|error| error.to_string()).unwrap_err();
    assert_eq!(charter.check(), Ok(()));
    charter.operators[0].passkeys[0].device_bound = false;
    assert!(
        reason(&charter).contains("can never be met by 1 approvers with a key that cannot leave its device"),
        "only omar's security key is known as one: {}",
        reason(&charter)
    );
    charter.operators[0].passkeys[0].device_bound = true;
    assert_eq!(charter.check(), Ok(()));
    charter.tiers[0].device_bound = true;
    assert!(reason(&charter).contains("of nobody"), "{}", reason(&charter));
    charter.tiers[0].device_bound = false;

    // It is part of what is signed, and of what a change shows.
    let text = String::from_utf8(charter.to_bytes()).unwrap();
    assert_eq!(text.matches("\"device_bound\":\"yes\"").count(), 3, "{text}");
    assert_eq!(Charter::from_bytes(text.as_bytes()), Ok(charter.clone()));
    let mut before = charter.clone();
    before.tiers[1].device_bound = false;
    assert_eq!(
        policy::changes(&before, &charter),
        [("tiers.quorum.device_bound".to_owned(), "\"no\" becomes \"yes\"".to_owned())]
    );
}
