//! The self-test of a machine, as people start it.
#![allow(clippy::unwrap_used, reason = "in a test, failing here is the test failing")]

use std::process::Command;

fn nonces(count: &str) -> (bool, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_claviger-signer")).args(["nonces", "--count", count]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_sound_machine_passes_its_self_test_and_sees_it_go_on() {
    let (passed, report, progress) = nonces("6000");
    assert!(passed, "{report}{progress}");
    assert!(report.starts_with("6000 signatures, with low S"), "{report}");
    assert!(report.contains("every nonce held against RFC 6979") && report.contains("nothing found"), "{report}");
    assert!(report.contains("least even of 32 bytes"), "{report}");
    assert!(progress.ends_with("signed 6000 of 6000\n"), "{progress}");
    let (passed, report, _) = nonces("7");
    assert!(passed && report.contains("that takes 5120 signatures"), "{report}");
    assert!(!nonces("0").0);
}
