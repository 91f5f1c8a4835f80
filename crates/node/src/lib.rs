//! Bitcoin nodes: a blocking client over JSON-RPC and REST, a follower of the best chain, and a node of one's own for
//! development and tests.
//!
//! A node is believed about nothing that moves coins: signers read previous transactions themselves. Every block is checked against its
//! header, and every header against the work of the one before, whoever sent them. What is left for a node to lie about is which of two
//! real chains is the best, so a caller compares several nodes before it credits.

mod block;
mod client;
mod follow;
pub mod regtest;

pub use block::{BlockFault, check_contents, check_header};
pub use client::{ChainInfo, Client, NodeError};
pub use follow::{Known, Step, next_step};
