use bitcoin::{Block, BlockHash};
use types::Network;

use crate::block::check_header;
use crate::client::{Client, NodeError};

/// A block that was taken into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Height.
    pub height: u32,
    /// Hash.
    pub hash: BlockHash,
}

/// What to do next to follow the best chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take this block into account; it stands on the newest known one.
    Connect {
        /// Its height.
        height: u32,
        /// The block.
        block: Box<Block>,
    },
    /// Undo every block above this one: the best chain left them.
    Disconnect {
        /// The newest block that both chains have.
        to: Known,
    },
    /// The best chain leaves ours deeper than allowed: stop crediting and call people.
    TooDeep {
        /// How many known blocks would have to be undone, at least.
        depth: u32,
    },
    /// Nothing is new; or the node is behind us on the same chain, as after a crash, which undoes nothing.
    Wait,
}

/// Finds the next step. `known` are the newest blocks that were taken into account, oldest first, without gaps; at most
/// `depth_max` of them are ever undone. Repeating the question after a crash gives the same answer. A block to connect stands on the
/// newest known one, with the work that the network asks for; see [`check_header`].
pub fn next_step(client: &Client, known: &[Known], depth_max: u32, network: Network) -> Result<Step, NodeError> {
    let info = client.chain_info()?;
    if known.is_empty() {
        let hash = client.block_hash(0)?;
        return Ok(Step::Connect { height: 0, block: Box::new(client.block(&hash)?) });
    }
    if known.iter().any(|block| block.hash == info.tip) {
        return Ok(Step::Wait);
    }
    let mut depth = 0;
    for block in known.iter().rev() {
        // Above the node's tip, the node has no hash; its tip is on another branch, so that block was left.
        let same = block.height <= info.height && client.block_hash(block.height)? == block.hash;
        if same && depth == 0 {
            return connect(client, block, network);
        }
        if same {
            return Ok(Step::Disconnect { to: *block });
        }
        depth += 1;
        if depth > depth_max {
            return Ok(Step::TooDeep { depth });
        }
    }
    Ok(Step::TooDeep { depth })
}

fn connect(client: &Client, newest: &Known, network: Network) -> Result<Step, NodeError> {
    let height = newest.height + 1;
    let hash = client.block_hash(height)?;
    let block = client.block(&hash)?;
    check_header(&block.header, &client.header(&newest.hash)?, height, network)?;
    Ok(Step::Connect { height, block: Box::new(block) })
}
