//! The official vectors of SLIP-0039: every valid one gives its secret, every other one is refused for what it was made to show.

mod common;

use serde_json::Value;
use shares::{Parameter, Share, ShareError, combine};

fn recover(words: &[&str]) -> Result<String, ShareError> {
    let shares: Vec<Share> = words.iter().map(|words| words.parse()).collect::<Result<_, _>>()?;
    for (share, words) in shares.iter().zip(words) {
        assert_eq!(&*share.to_words(), words);
    }
    combine(&shares, b"TREZOR").map(hex::encode)
}

/// Whether the refusal is the one that the vector's description asks for.
fn fits(description: &str, error: &ShareError) -> bool {
    let (_, what) = description.split_once(' ').unwrap_or_default();
    let (what, _) = what.split_once(" (").unwrap_or((what, ""));
    let mixed = |wanted| matches!(error, ShareError::Mixed { parameter, .. } if *parameter == wanted);
    match what {
        "Mnemonic with invalid checksum" => matches!(error, ShareError::Damaged { .. }),
        "Mnemonic with invalid padding" => *error == ShareError::Padding,
        "Basic sharing 2-of-3" => error.to_string() == "too few shares: of group 1 there are 1 of 2",
        "Mnemonics with different identifiers" => mixed(Parameter::Identifier),
        "Mnemonics with different iteration exponents" => mixed(Parameter::Exponent),
        "Mnemonics with mismatching group thresholds" => mixed(Parameter::GroupThreshold),
        "Mnemonics with mismatching group counts" => mixed(Parameter::GroupCount),
        "Mnemonics with greater group threshold than group counts" => {
            matches!(error, ShareError::GroupThreshold { threshold, count } if threshold > count)
        }
        "Mnemonics with duplicate member indices" => *error == ShareError::SamePlace { share: 2, other: 1 },
        "Mnemonics with mismatching member thresholds" => mixed(Parameter::MemberThreshold),
        "Mnemonics giving an invalid digest" => *error == ShareError::Digest { group: Some(1) },
        "Insufficient number of groups" => matches!(error, ShareError::TooFew(missing) if missing.groups.is_empty()),
        "Threshold number of groups, but insufficient number of members in one group" => {
            error.to_string() == "too few shares: 1 of 2 groups are complete; of group 4 there are 1 of 2"
        }
        "Mnemonic with insufficient length" => *error == ShareError::WordCount(19),
        "Mnemonic with invalid master secret length" => *error == ShareError::WordCount(21),
        _ => false,
    }
}

#[test]
fn every_official_vector_gives_its_secret_or_its_refusal() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("data/vectors.json")).unwrap();
    let mut valid = 0;
    for vector in &vectors {
        let description = vector[0].as_str().unwrap();
        let words: Vec<_> = vector[1].as_array().unwrap().iter().map(|words| words.as_str().unwrap()).collect();
        let secret = vector[2].as_str().unwrap();
        match recover(&words) {
            Ok(found) => assert_eq!(found, secret, "{description}"),
            Err(error) => assert!(secret.is_empty() && fits(description, &error), "{description}: {error:?}"),
        }
        valid += usize::from(!secret.is_empty());
    }
    assert_eq!((vectors.len(), valid), (45, 15));
}

/// The reference implementation's shares (see data/README.md): ours are the same words, as long as randomness is the same.
#[test]
fn the_reference_implementation_prints_the_same_words() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("data/reference.json")).unwrap();
    assert_eq!(cases.len(), 12);
    for case in &cases {
        let byte = |value: &Value| u8::try_from(value.as_u64().unwrap()).unwrap();
        let secret = hex::decode(case["secret"].as_str().unwrap()).unwrap();
        let passphrase = case["passphrase"].as_str().unwrap().as_bytes();
        let groups: Vec<_> =
            case["groups"].as_array().unwrap().iter().map(|group| (byte(&group[0]), byte(&group[1]))).collect();
        let (exponent, extendable) = (byte(&case["exponent"]), case["extendable"].as_bool().unwrap());
        let threshold = byte(&case["group_threshold"]);
        let made = shares::split(&secret, passphrase, exponent, extendable, threshold, &groups, &mut common::stream(0))
            .unwrap();
        let words: Vec<Vec<String>> =
            made.iter().map(|group| group.iter().map(|share| share.to_words().to_string()).collect()).collect();
        assert_eq!(serde_json::to_value(words).unwrap(), case["shares"]);
        let all: Vec<Share> = made.into_iter().flatten().collect();
        assert_eq!(*combine(&all, passphrase).unwrap(), secret);
    }
}
