//! Bounds on what a caller may send.

/// Longest body, in bytes: the signatures of a transaction with as many coins as there may be.
pub const BODY_MAX: usize = 256 * 1024;
/// How far ahead of our clock a request's `created` may lie, in seconds.
pub const SKEW_SECONDS: i64 = 60;
/// Longest time for which a request may be signed, in seconds.
pub const LIFETIME_SECONDS_MAX: i64 = 300;
/// Rows of a page when the caller names no number, and the most.
pub const PAGE: u32 = 50;
/// The most rows of a page.
pub const PAGE_MAX: u32 = 500;
