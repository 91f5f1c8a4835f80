//! Memory and time of the address index at ten million addresses, beside a map that keeps whole scripts.
//!
//! `cargo bench --package orders --bench index`
#![allow(clippy::expect_used, clippy::cast_precision_loss, reason = "a benchmark that cannot run ends with the reason")]

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use orders::AddressIndex;

const ADDRESSES: u32 = 10_000_000;
/// Outputs of a large block.
const OUTPUTS: u32 = 10_000;

/// A P2WSH script: two bytes, then 32 that look random.
fn script(number: u32) -> [u8; 34] {
    let mut script = [0; 34];
    script[1] = 32;
    let mut state = u64::from(number).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for bytes in script[2..].chunks_exact_mut(8) {
        state ^= state >> 31;
        state = state.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bytes.copy_from_slice(&state.to_le_bytes());
    }
    script
}

/// Resident memory of this process, in bytes.
fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("a Linux machine");
    let pages: f64 = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("pages");
    pages * 4096.0
}

fn main() {
    let before = resident();
    let start = Instant::now();
    let mut index = AddressIndex::default();
    index.reserve(ADDRESSES as usize);
    (0..ADDRESSES).for_each(|number| index.insert(&script(number), number));
    let filled = start.elapsed();
    let bytes = (resident() - before) / f64::from(ADDRESSES);
    let start = Instant::now();
    // One in a thousand is ours.
    let found: usize = (0..OUTPUTS)
        .map(|number| {
            let number = if number % 1_000 == 0 { number } else { ADDRESSES + number };
            black_box(&index).candidates(&script(number)).count()
        })
        .sum();
    let probed = start.elapsed();
    assert_eq!(found, (OUTPUTS / 1_000) as usize, "the index finds what is ours and nothing else");
    println!(
        "index      {bytes:>6.1} bytes per address, filled in {filled:.2?}, a block of {OUTPUTS} outputs in {probed:.2?}"
    );
    let before = resident();
    let start = Instant::now();
    let mut map: HashMap<[u8; 34], u32> = HashMap::with_capacity(ADDRESSES as usize);
    map.extend((0..ADDRESSES).map(|number| (script(number), number)));
    let filled = start.elapsed();
    let bytes = (resident() - before) / f64::from(ADDRESSES);
    let start = Instant::now();
    let found = (0..OUTPUTS).filter(|number| black_box(&map).contains_key(&script(ADDRESSES + number))).count();
    println!(
        "whole map  {bytes:>6.1} bytes per address, filled in {filled:.2?}, a block of {OUTPUTS} outputs in {:.2?} ({found})",
        start.elapsed()
    );
}
