//! Generation by three parties with the real program: commitments, reveals, dice, transcript; and who cheats in it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test, failing here is the test failing"
)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::desk::{Fault, assert_clean, files, unsealed};
use common::processes::run;
use common::{House, birth};
use hmac::{Hmac, Mac as _};
use sealing::NoRandomness;
use sha2::Sha512;
use signer::ceremony::dice::Dice;
use signer::ceremony::entropy::{self, Commitment, Part, Reveal, SYSTEM_BYTES, mix};
use signer::ceremony::generate::{self, Others};
use signer::core::Core;
use signer::enrol::{self, Enrolment};
use signer::vault::random;
use types::{Digest, Moment, Network, SignerId};

const PARTIES: [&str; 3] = ["s1", "s2", "s3"];

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_str().unwrap().to_owned()
}

fn fair(count: usize) -> String {
    let mut rolls = String::new();
    while rolls.len() < count {
        let mut byte = [0];
        random(&mut byte).unwrap();
        if byte[0] < 252 {
            rolls.push(char::from(b'1' + byte[0] % 6));
        }
    }
    rolls
}

struct Room {
    place: tempfile::TempDir,
}

impl Room {
    fn new() -> Room {
        let room = Room { place: tempfile::tempdir().unwrap() };
        std::fs::create_dir(room.at("exchange")).unwrap();
        for party in PARTIES {
            std::fs::create_dir(room.at(&format!("{party}-shares"))).unwrap();
        }
        std::fs::write(room.at("dice"), fair(120)).unwrap();
        room
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn entropy(&self, what: &str, party: &str) -> std::process::Output {
        let (keep, exchange) = (text(self.at(&format!("{party}.contribution"))), text(self.at("exchange")));
        let own =
            ["--ceremony", "first", "--network", "regtest", "--id", party, "--keep", &keep, "--exchange", &exchange];
        run(&[&["entropy", what], own.as_slice()].concat())
    }

    fn init(&self, party: &str) -> std::process::Output {
        let (data, exchange, dice) = (text(self.at(party)), text(self.at("exchange")), text(self.at("dice")));
        let seal = format!("desk=shares:2:kim,kit:{}", text(self.at(&format!("{party}-shares"))));
        let own = ["--data", &data, "--id", party, "--network", "regtest", "--person", "gina", "--seal", &seal];
        run(&[&["init", "--entropy", &exchange, "--dice", &dice], own.as_slice()].concat())
    }
}

fn good(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn bad(output: &std::process::Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn three_parties_generate_and_everybody_can_verify_the_transcript() {
    let room = Room::new();
    for party in PARTIES {
        let first = good(&room.entropy("commit", party));
        assert_eq!(first, good(&room.entropy("commit", party)), "again it commits to the same");
    }
    assert!(bad(&room.init("s1")).contains("entropy-missing"), "nobody has revealed");
    let mut enrolments: Vec<Enrolment> = Vec::new();
    for party in PARTIES {
        let first = good(&room.entropy("reveal", party));
        assert_eq!(first, good(&room.entropy("reveal", party)));
    }
    for party in PARTIES {
        let first = good(&room.init(party));
        assert_eq!(first, good(&room.init(party)), "the same command says the same, and makes no second signer");
        enrolments.push(serde_json::from_str(&first).unwrap());
    }
    assert!(
        enrolments
            .iter()
            .all(|one| enrolments.iter().filter(|other| other.accounts[0] == one.accounts[0]).count() == 1)
    );

    let transcript = text(room.at("transcript.json"));
    let assemble = ["transcript", "assemble", "--exchange", &text(room.at("exchange")), "--out", &transcript];
    let digest = good(&run(&assemble));
    assert_eq!(digest, good(&run(&assemble)));
    let digest = digest.trim().rsplit(' ').next().unwrap().to_owned();
    let mut verify = vec!["transcript".to_owned(), "verify".to_owned(), "--transcript".to_owned(), transcript.clone()];
    for party in PARTIES {
        let sign =
            ["transcript", "sign", "--data", &text(room.at(party)), "--transcript", &transcript, "--person", "gina"];
        let signed = good(&run(&sign));
        assert_eq!(signed, good(&run(&sign)));
        let path = room.at(&format!("{party}.signed"));
        std::fs::write(&path, &signed).unwrap();
        assert!(bad(&run(&verify.iter().map(String::as_str).collect::<Vec<_>>())).contains("transcript-unsigned"));
        verify.extend(["--signed".to_owned(), text(path)]);
        // Noted once, whatever is said twice.
        let (id, keys, _) = enrol::load(&room.at(party)).unwrap();
        let core = Core::open(id, keys, &room.at(party).join(enrol::files::JOURNAL)).unwrap();
        let noted: Vec<_> = core.ceremonies().iter().filter(|one| one.step == "transcript").collect();
        assert_eq!(noted.len(), 1);
        assert!(noted[0].detail.contains(&digest));
        assert!(
            core.ceremonies()[0].detail.contains("120 rolls of dice (310 bits)"),
            "{}",
            core.ceremonies()[0].detail
        );
    }
    let verify =
        |further: &[&str]| run(&[verify.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), further].concat());
    assert!(good(&verify(&[])).contains(&digest));

    // People sign with stock ssh-keygen; their keys stand in the charter that follows from the enrolments.
    let house = House::new(&enrolments, |_| {});
    let charter = text(room.at("charter.json"));
    std::fs::write(&charter, house.charter.to_bytes()).unwrap();
    let digest: Digest = digest.parse().unwrap();
    for (namespace, counts) in [("claviger-ceremony", true), ("claviger-approval", false)] {
        let path = room.at(namespace);
        std::fs::write(&path, house.ssh("olga", "olga", namespace, &digest).signature).unwrap();
        let output = verify(&["--charter", &charter, "--signature", &format!("olga={}", text(&path))]);
        assert_eq!(output.status.success(), counts, "{output:?}");
        let output = verify(&["--charter", &charter, "--signature", &format!("omar={}", text(&path))]);
        assert!(!output.status.success(), "another person's");
    }

    // A charter that gives a signer another key than it generated, or forgets one, is named.
    for change in [0, 1, 2] {
        let mut other = house.charter.clone();
        match change {
            0 => other.signers[1].journal_key = other.signers[0].journal_key.map(|byte| byte ^ 1),
            1 => other.signers.truncate(1),
            _ => other.wallets[0].descriptor = other.wallets[1].descriptor.clone(),
        }
        let made = signer::ceremony::transcript::Transcript::from_bytes(&std::fs::read(&transcript).unwrap()).unwrap();
        let refused = signer::ceremony::transcript::verify_charter(&made, &other).unwrap_err();
        assert_eq!(refused.code.as_str(), "transcript-charter", "{change}");
    }

    // Any changed byte, and any changed statement in one spelling, is found.
    let bytes = std::fs::read(&transcript).unwrap();
    for position in (0..bytes.len()).step_by(37) {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        std::fs::write(&transcript, &changed).unwrap();
        assert!(!verify(&[]).status.success(), "byte {position}");
    }
    let changed = String::from_utf8(bytes.clone()).unwrap().replace("\"dice_rolls\":\"120\"", "\"dice_rolls\":\"990\"");
    std::fs::write(&transcript, changed).unwrap();
    assert!(bad(&verify(&[])).contains("transcript-unsigned"));
    let sign = ["transcript", "sign", "--data", &text(room.at("s1")), "--transcript", &transcript, "--person", "gina"];
    assert!(bad(&run(&sign)).contains("transcript"), "a signer signs no lie about itself");
    std::fs::write(&transcript, &bytes).unwrap();
    assert!(verify(&[]).status.success());
}

#[test]
fn t05_a_party_that_cheats_with_its_contribution_is_named() {
    let place = tempfile::tempdir().unwrap();
    let part = |name: &str| Part { ceremony: "c".to_owned(), network: Network::Regtest, signer: name.parse().unwrap() };
    let at = |name: &str| place.path().join(name);
    let commit = |name: &str| entropy::commit(&part(name), &at(name), &at(&format!("{name}.c")), &mut random).unwrap();
    let commitments = PARTIES.map(commit);
    let reveal = |name: &str| entropy::reveal(&part(name), &at(name), &commitments, &at(&format!("{name}.r"))).unwrap();
    let reveals = PARTIES.map(reveal);
    let outcome = |commitments: &[Commitment], reveals: &[Reveal]| {
        entropy::open(commitments, reveals).map(|_| ()).map_err(|refused| (refused.code.to_string(), refused.reason))
    };
    assert_eq!(outcome(&commitments, &reveals), Ok(()));
    let mut other = reveals.clone();
    other[2].contribution[0] ^= 1;
    let (code, reason) = outcome(&commitments, &other).unwrap_err();
    assert_eq!(code, "entropy-lie");
    assert!(reason.contains("s3"), "{reason}");
    assert_eq!(outcome(&commitments, &reveals[..2]).unwrap_err().0, "entropy-missing");
    assert_eq!(outcome(&commitments[..2], &reveals[2..]).unwrap_err().0, "entropy-missing");
    assert_eq!(outcome(&commitments[..1], &reveals[..1]).unwrap_err().0, "entropy-parties");
    assert_eq!(outcome(&[commitments[0].clone(), commitments[0].clone()], &reveals).unwrap_err().0, "entropy-parties");
    let mut elsewhere = commitments.clone();
    elsewhere[1].part.ceremony = "d".to_owned();
    assert_eq!(outcome(&elsewhere, &reveals).unwrap_err().0, "entropy-parties");
    // A reveal moved to another party's name, and one that was made before everybody had committed.
    let mut moved = reveals.clone();
    moved[2].contribution = reveals[1].contribution;
    assert_eq!(outcome(&commitments, &moved).unwrap_err().0, "entropy-lie");
    let mut early = reveals.clone();
    early[1].commitments = entropy::all(&commitments[..2]).unwrap().1;
    assert_eq!(outcome(&commitments, &early).unwrap_err().0, "entropy-order");
    // Somebody asks for a reveal, then commits again, and asks once more: the contribution was given away already.
    let again = entropy::commit(&part("s3"), &at("s3-second"), &at("s3.c2"), &mut random).unwrap();
    let second = [commitments[0].clone(), commitments[1].clone(), again];
    let refused = entropy::reveal(&part("s1"), &at("s1"), &second, &at("s1.r2")).unwrap_err();
    assert_eq!(refused.code.as_str(), "entropy-revealed");
    let refused = entropy::reveal(&part("s3"), &at("s3"), &second, &at("s3.r2")).unwrap_err();
    assert_eq!(refused.code.as_str(), "entropy-missing", "s3's own commitment is another one's");
    // Files with anything else in them.
    for wrong in ["", "{}", r#"{"a":"b"}"#, &"x".repeat(5_000)] {
        std::fs::write(at("wrong"), wrong).unwrap();
        assert_eq!(Commitment::read(&at("wrong")).unwrap_err().code.as_str(), "entropy-form");
        assert_eq!(Reveal::read(&at("wrong")).unwrap_err().code.as_str(), "entropy-form");
    }
    assert_eq!(Commitment::read(&at("s1.c")).unwrap(), commitments[0]);
    assert_eq!(Reveal::read(&at("s1.r")).unwrap(), reveals[0]);
}

/// HKDF-SHA-512 a second time, by RFC 5869's own words, over an input put together independently.
fn expected(system: &[u8], dice: &[u8], parties: &[(&str, [u8; 32])]) -> Vec<u8> {
    let hmac = |key: &[u8], message: &[u8]| {
        let mut mac = Hmac::<Sha512>::new_from_slice(key).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    };
    let salt = Digest::of(&[b"claviger-entropy-salt-v1\nc\nregtest\ns1\n"]);
    let mut input = Vec::new();
    let mut push = |bytes: &[u8]| {
        input.extend((bytes.len() as u64).to_be_bytes());
        input.extend(bytes);
    };
    push(system);
    push(dice);
    for (name, contribution) in parties {
        push(name.as_bytes());
        push(contribution);
    }
    let key = hmac(salt.as_bytes(), &input);
    hmac(&key, b"claviger-seed-v1\nc\nregtest\ns1\x01")[..32].to_vec()
}

#[test]
fn every_input_changes_the_seed_and_the_mixing_is_what_is_written() {
    let part = |ceremony: &str, network, signer: &str| Part {
        ceremony: ceremony.to_owned(),
        network,
        signer: signer.parse().unwrap(),
    };
    let own = part("c", Network::Regtest, "s1");
    let rolls = fair(99);
    let dice = Dice::read(&rolls).unwrap();
    let system = [3; SYSTEM_BYTES];
    let parties: BTreeMap<SignerId, [u8; 32]> =
        [("s1".parse().unwrap(), [1; 32]), ("s2".parse().unwrap(), [2; 32])].into();
    let seed =
        |part: &Part, system: &[u8; SYSTEM_BYTES], dice: Option<&Dice>, parties: &BTreeMap<SignerId, [u8; 32]>| {
            mix(part, system, dice, parties).unwrap().to_vec()
        };
    let base = seed(&own, &system, Some(&dice), &parties);
    assert_eq!(base, expected(&system, rolls.as_bytes(), &[("s1", [1; 32]), ("s2", [2; 32])]));
    let mut others = vec![base.clone()];
    let mut system_changed = system;
    system_changed[63] ^= 1;
    others.push(seed(&own, &system_changed, Some(&dice), &parties));
    let mut rolled = rolls.clone().into_bytes();
    rolled[98] = if rolled[98] == b'1' { b'2' } else { b'1' };
    let rolled = Dice::read(std::str::from_utf8(&rolled).unwrap()).unwrap();
    others.push(seed(&own, &system, Some(&rolled), &parties));
    others.push(seed(&own, &system, None, &parties));
    let mut peer = parties.clone();
    peer.insert("s2".parse().unwrap(), [4; 32]);
    others.push(seed(&own, &system, Some(&dice), &peer));
    others.push(seed(&own, &system, Some(&dice), &BTreeMap::new()));
    // The same inputs on another network, in another ceremony or under another name are another seed.
    others.push(seed(&part("c", Network::Bitcoin, "s1"), &system, Some(&dice), &parties));
    others.push(seed(&part("d", Network::Regtest, "s1"), &system, Some(&dice), &parties));
    others.push(seed(&part("c", Network::Regtest, "s2"), &system, Some(&dice), &parties));
    let mut distinct = others.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), others.len());
}

#[test]
fn bad_sources_and_bad_dice_make_no_signer() {
    let part = Part { ceremony: "c".to_owned(), network: Network::Regtest, signer: "s1".parse().unwrap() };
    let make = |source: &mut signer::ceremony::Random<'_>, others: &Others| {
        generate::seed(&part, others, None, source, "gina", "tty1").map(|_| ()).map_err(|one| one.code.to_string())
    };
    assert_eq!(make(&mut random, &Others::default()), Ok(()));
    let mut stuck = |bytes: &mut [u8]| {
        bytes.fill(0);
        Ok(())
    };
    assert_eq!(make(&mut stuck, &Others::default()), Err("source-stuck".to_owned()));
    assert_eq!(make(&mut |_| Err(NoRandomness), &Others::default()), Err("random".to_owned()));
    let without = Others { contributions: [("s2".parse().unwrap(), [2; 32])].into(), commitments: None };
    assert_eq!(make(&mut random, &without), Err("entropy-missing".to_owned()));
    let room = Room::new();
    for (rolls, name) in
        [(fair(98), "dice-few"), ("123456".repeat(20), "dice-pattern"), ("1".repeat(99), "dice-uneven")]
    {
        std::fs::write(room.at("dice"), rolls).unwrap();
        let (data, dice) = (text(room.at("alone")), text(room.at("dice")));
        let seal = format!("desk=shares:2:kim,kit:{}", text(room.at("s1-shares")));
        let init = ["init", "--data", &data, "--id", "s1", "--network", "regtest", "--person", "gina", "--seal", &seal];
        let refused = bad(&run(&[init.as_slice(), &["--dice", &dice]].concat()));
        assert!(refused.contains(name), "{refused}");
        assert!(!room.at("alone").exists() && files(&room.at("s1-shares")).is_empty());
    }
}

#[test]
fn a_generation_stopped_after_any_step_leaves_nothing_in_clear_and_can_be_repeated() {
    let place = tempfile::tempdir().unwrap();
    for at in 0.. {
        let directory = place.path().join(format!("s{at}"));
        let born = || birth("s1", Moment::from_seconds(common::BORN));
        let first = born();
        let secret = signer::seed::Seed::from_bytes(first.seed.expose(), Network::Regtest).unwrap();
        let mut fault = Fault::after(Some(at));
        let whole = enrol::create_watched(&directory, first, &mut |step| fault.watch(step)).is_ok();
        assert_clean(place.path(), &secret, &[]);
        if fault.seen.contains(&"named") {
            // It is there as a whole, and is never overwritten.
            assert!(matches!(enrol::create(&directory, born()), Err(enrol::EnrolError::Taken(_))));
        } else {
            assert!(!directory.exists());
            enrol::create(&directory, born()).unwrap();
        }
        assert!(!place.path().join(format!("s{at}.new")).exists());
        let (id, keys, _) = enrol::load(&directory).unwrap();
        let core = Core::open(id, keys, &directory.join(enrol::files::JOURNAL)).unwrap();
        assert_clean(place.path(), &unsealed(&core, &directory), &[]);
        if whole {
            assert_eq!(fault.seen, ["directory", "sealed", "secrets", "journal", "written", "named"]);
            break;
        }
    }
}

#[test]
fn killed_by_the_printer_the_backup_is_made_by_the_same_command_and_pages_never_touch_the_disk() {
    let room = Room::new();
    for what in ["commit", "reveal"] {
        for party in PARTIES {
            good(&room.entropy(what, party));
        }
    }
    let enrolments = PARTIES.map(|party| serde_json::from_str(&good(&room.init(party))).unwrap());
    let house = House::new(&enrolments, |_| {});
    let (id, keys, _) = enrol::load(&room.at("s1")).unwrap();
    let mut core = Core::open(id, keys, &room.at("s1").join(enrol::files::JOURNAL)).unwrap();
    core.adopt_first(&house.charter, &house.genesis, signer::server::now()).unwrap();
    drop(core);
    let wire = house.key_step(common::desk::step(types::Step::Backup, "s1"), signer::server::now());
    let file = |name: &str, content: &str| {
        std::fs::write(room.at(name), content).unwrap();
        text(room.at(name))
    };
    let mut arguments = vec!["--instruction".to_owned(), file("instruction", &wire.canonical)];
    for one in &wire.evidence.approvals {
        arguments
            .extend(["--approval".to_owned(), format!("{}={}", one.operator, file(&one.operator, &one.signature))]);
    }
    let envelope = signer::vault::Vault::Seed.read(&room.at("s1")).unwrap();
    let slot = envelope.slots().next().unwrap();
    let sealing::SlotKind::Shares { set, .. } = slot.kind() else { panic!("another kind of slot") };
    for holder in ["kim", "kit"] {
        let share = room.at("s1-shares").join(format!("{holder}.desk.{set}.share"));
        arguments.extend(["--share".to_owned(), text(share)]);
    }
    let out = room.at("printed");
    std::fs::create_dir(&out).unwrap();
    let journal = std::fs::read(room.at("s1").join(enrol::files::JOURNAL)).unwrap();
    let backup = |print: &str| {
        let data = text(room.at("s1"));
        let own =
            ["backup", "--data", &data, "--person", "kim", "--threshold", "2", "--holder", "hana", "--holder", "hugo"];
        let further: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Command::new(env!("CARGO_BIN_EXE_claviger-signer"))
            .args([own.as_slice(), &further, &["--print", print]].concat())
            .output()
            .unwrap()
    };
    // kill -9 while the first page, or the second, is in the printer.
    for page in [1, 2] {
        let output = backup(&format!(
            "cat > /dev/null; echo >> {0}/count; test $(wc -l < {0}/count) -lt {page} || kill -9 $PPID",
            out.display()
        ));
        assert!(output.status.code().is_none(), "killed: {output:?}");
        std::fs::remove_file(out.join("count")).unwrap();
        assert_eq!(std::fs::read(room.at("s1").join(enrol::files::JOURNAL)).unwrap(), journal, "nothing is recorded");
    }
    assert!(bad(&backup("cat > /dev/null; exit 3")).contains("print"), "a printer that fails is named");
    let output = backup(&format!("cat > {}/$$.pdf", out.display()));
    let said = good(&output);
    assert!(said.contains("hana (print)") && said.contains("2 of 2"), "{said}");
    let pages = files(&out);
    assert_eq!(pages.len(), 2);
    assert!(pages.iter().all(|page| std::fs::read(page).unwrap().starts_with(b"%PDF-")));
    let own = files(&room.at("s1"));
    assert!(own.iter().all(|path| !std::fs::read(path).unwrap().windows(5).any(|bytes| bytes == b"%PDF-")));
    let again = good(&backup("exit 3"));
    let all = ["no share was made now", "hana (print)", "recorded before", "is not seen from here"];
    assert!(all.iter().all(|words| again.contains(words)), "nothing is printed anew: {again}");
    let (id, keys, _) = enrol::load(&room.at("s1")).unwrap();
    let core = Core::open(id, keys, &room.at("s1").join(enrol::files::JOURNAL)).unwrap();
    assert_eq!(core.ceremonies().iter().filter(|one| one.step == "backup").count(), 1);
}
