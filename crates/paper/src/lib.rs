//! What is carried by hand between machines that no wire joins: a message cut into parts that QR codes show in turn ([`ur`]),
//! QR codes for terminals, pages and paper ([`qr`]), and printed pages ([`pdf`]).
//!
//! Bytes and text go in, bytes and text come out: no file, clock, random source or device. What is read back from a camera or a
//! scanner is believed in nothing: every size is bounded before memory is taken for it, and whether the message is the right one
//! is for its signatures to say, not for this crate.

pub mod pdf;
pub mod qr;
pub mod ur;
