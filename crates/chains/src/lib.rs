//! What each chain's transactions are, do and need, as pure rules: no file, socket, clock, randomness or async.

pub mod bitcoin;
