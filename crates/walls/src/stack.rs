//! What calls have left behind on the stack.

use std::hint::black_box;

use zeroize::Zeroize as _;

/// How far below its caller [`scrub_stack`] wipes, in bytes.
pub const SCRUBBED_BYTES: usize = 256 << 10;

/// Overwrites the stack below the caller, where the calls that it made before have left their variables. To be called right after
/// secrets were used, from the function that called those who used them, with [`SCRUBBED_BYTES`] of stack left.
///
/// What it cannot do: wipe the variables of the caller itself and of its callers, registers, the heap, other threads' stacks, what
/// lies deeper than it reaches, and the few bytes that its own frame covers without being part of the array.
#[inline(never)]
pub fn scrub_stack() {
    let mut below = [0_u8; SCRUBBED_BYTES];
    below.zeroize();
    // The array counts as used, so that no optimisation leaves it out.
    black_box(&below);
}
