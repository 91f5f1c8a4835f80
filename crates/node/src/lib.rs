//! Bitcoin nodes: a blocking client over JSON-RPC and REST, a follower of the best chain, and a node of one's own for
//! development and tests.
//!
//! A node is believed about nothing that moves coins: signers read previous transactions themselves. What a node says here
//! decides when deposits count, so a caller compares several nodes before it credits.

mod client;
mod follow;
pub mod regtest;

pub use client::{ChainInfo, Client, NodeError};
pub use follow::{Known, Step, next_step};
