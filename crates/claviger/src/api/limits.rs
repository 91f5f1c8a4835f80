//! Bounds on what a caller may send, and for how long it may take.

use std::time::Duration;

/// Longest body, in bytes: the signatures of a transaction with as many coins as there may be.
pub const BODY_MAX: usize = 256 * 1024;
/// Longest body that the console takes, in bytes.
pub const CONSOLE_BODY_MAX: usize = 2 << 20;
/// Most connections that a listener has at once: two of them leave room for files below the usual 1,024.
pub const CONNECTIONS_MAX: usize = 384;
/// Most of them from one source.
pub const CONNECTIONS_OF_SOURCE_MAX: usize = 128;
/// How long a caller may take for a request's head, and between two requests.
pub const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long a caller may take for a request's body.
pub const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// How long a caller may read nothing of an answer that waits.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// How long callers are given to finish when this system ends.
pub const END_PATIENCE: Duration = Duration::from_secs(60);
/// How far ahead of our clock a request's `created` may lie, in seconds.
pub const SKEW_SECONDS: i64 = 60;
/// Longest time for which a request may be signed, in seconds.
pub const LIFETIME_SECONDS_MAX: i64 = 300;
/// Rows of a page when the caller names no number, and the most.
pub const PAGE: u32 = 50;
/// The most rows of a page.
pub const PAGE_MAX: u32 = 500;
