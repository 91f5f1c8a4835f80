//! What makes bytes a block of our chain, whoever sent them: a node is a stranger that happens to be ours.
//!
//! Trusted: the hash of the block that was taken into account before. Refused: contents that their header does not commit to, and headers
//! that cost less work than the chain asks for there. So whoever owns a node invents no coin without mining at the chain's own
//! difficulty. Tried by `t06_` tests below and by those of the online system.

use std::collections::BTreeSet;

use bitcoin::block::Header;
use bitcoin::params::Params;
use bitcoin::{Block, BlockHash, Target};
use types::Network;

/// Why something is no block of our chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// Another one than was asked for.
    #[error("its hash is {found}, and {asked} was asked for")]
    Hash {
        /// What was asked for.
        asked: BlockHash,
        /// What came.
        found: BlockHash,
    },
    /// It does not stand on the block before.
    #[error("it stands on {found}, and not on {expected}")]
    Previous {
        /// The newest known block.
        expected: BlockHash,
        /// What it names.
        found: BlockHash,
    },
    /// Its hash is not below its own target, or its target is easier than the network lets it be here.
    #[error("its proof of work is less than the network asks for")]
    Work,
    /// Its transactions are not those to which its header commits, or one stands there twice (CVE-2012-2459).
    #[error("its transactions are not those that its header commits to")]
    Transactions,
    /// Its witnesses are not those to which its coinbase commits (BIP-141).
    #[error("its witnesses are not those that its coinbase commits to")]
    Witnesses,
    /// It does not begin with a coinbase, or has another.
    #[error("its first transaction, and no other, must be a coinbase")]
    Coinbase,
}

/// Blocks between two changes of the difficulty.
const INTERVAL: u32 = 2_016;
/// The most by which difficulty changes at once.
const FACTOR: u32 = 4;

fn params(network: Network) -> Params {
    Params::new(match network {
        Network::Bitcoin => bitcoin::Network::Bitcoin,
        Network::Testnet4 => bitcoin::Network::Testnet4,
        Network::Signet => bitcoin::Network::Signet,
        Network::Regtest => bitcoin::Network::Regtest,
    })
}

/// Checks that a block is the one that was asked for and holds what its header commits to.
pub fn check_contents(block: &Block, asked: &BlockHash) -> Result<(), BlockFault> {
    let found = block.block_hash();
    if found != *asked {
        return Err(BlockFault::Hash { asked: *asked, found });
    }
    // A block with its last transactions doubled has the same merkle root.
    let distinct: BTreeSet<_> = block.txdata.iter().map(bitcoin::Transaction::compute_txid).collect();
    if distinct.len() != block.txdata.len() || !block.check_merkle_root() {
        return Err(BlockFault::Transactions);
    }
    // Inner nodes of the tree, passed off as transactions of 64 bytes, do not begin with a coinbase.
    let coinbases = block.txdata.iter().filter(|transaction| transaction.is_coinbase()).count();
    if coinbases != 1 || !block.txdata.first().is_some_and(bitcoin::Transaction::is_coinbase) {
        return Err(BlockFault::Coinbase);
    }
    if !block.check_witness_commitment() {
        return Err(BlockFault::Witnesses);
    }
    Ok(())
}

/// Checks that a header stands on the one before it, and that its work is what the network asks for at that height: the same as
/// before, or within a factor of four where difficulty changes. Test networks that let easy blocks in keep their limit alone.
pub fn check_header(header: &Header, before: &Header, height: u32, network: Network) -> Result<(), BlockFault> {
    let expected = before.block_hash();
    if header.prev_blockhash != expected {
        return Err(BlockFault::Previous { expected, found: header.prev_blockhash });
    }
    let params = params(network);
    let target = header.target();
    let hard = header.validate_pow(target).is_ok() && target <= params.max_attainable_target;
    let fixed = params.no_pow_retargeting || params.allow_min_difficulty_blocks;
    let follows = if fixed {
        true
    } else if height.is_multiple_of(INTERVAL) {
        target <= easier(before.target())
    } else {
        header.bits == before.bits
    };
    if hard && follows { Ok(()) } else { Err(BlockFault::Work) }
}

/// A target four times as easy, as far as there is one.
fn easier(target: Target) -> Target {
    let mut bytes = target.to_be_bytes();
    let mut carry = 0u32;
    for byte in bytes.iter_mut().rev() {
        carry += u32::from(*byte) * FACTOR;
        *byte = u8::try_from(carry & 0xff).unwrap_or(u8::MAX);
        carry >>= 8;
    }
    if carry == 0 { Target::from_be_bytes(bytes) } else { Target::from_be_bytes([u8::MAX; 32]) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test, failing here is the test failing")]

    use bitcoin::constants::genesis_block;
    use bitcoin::hashes::Hash as _;
    use bitcoin::{CompactTarget, ScriptBuf, Transaction, TxMerkleNode};

    use super::*;

    /// A block on the genesis of regtest with so many payments besides its coinbase.
    fn block(payments: u32) -> Block {
        let genesis = genesis_block(bitcoin::Network::Regtest);
        let mut block = genesis.clone();
        block.header.prev_blockhash = genesis.block_hash();
        for n in 0..payments {
            let mut payment = genesis.txdata[0].clone();
            payment.input[0].previous_output = bitcoin::OutPoint::new(bitcoin::Txid::from_byte_array([7; 32]), n);
            block.txdata.push(payment);
        }
        seal(&mut block);
        block
    }

    /// Writes the merkle root and mines.
    fn seal(block: &mut Block) {
        block.header.merkle_root = block.compute_merkle_root().unwrap_or(TxMerkleNode::from_byte_array([0; 32]));
        while block.header.validate_pow(block.header.target()).is_err() {
            block.header.nonce += 1;
        }
    }

    fn forged(coins: u64) -> Transaction {
        let mut transaction = block(1).txdata[1].clone();
        transaction.output[0].value = bitcoin::Amount::from_sat(coins);
        transaction.output[0].script_pubkey = ScriptBuf::new();
        transaction
    }

    #[test]
    fn t06_a_block_with_an_appended_transaction_is_refused() {
        for payments in 0..5 {
            let honest = block(payments);
            let hash = honest.block_hash();
            assert_eq!(check_contents(&honest, &hash), Ok(()));
            let mut more = honest.clone();
            more.txdata.push(forged(500_000_000));
            assert_eq!(check_contents(&more, &hash), Err(BlockFault::Transactions));
            let mut doubled = honest.clone();
            doubled.txdata.push(honest.txdata.last().unwrap().clone());
            assert_eq!(check_contents(&doubled, &hash), Err(BlockFault::Transactions), "with {payments} payments");
            for place in 0..honest.txdata.len() {
                let mut less = honest.clone();
                less.txdata.remove(place);
                assert!(check_contents(&less, &hash).is_err());
                let mut other = honest.clone();
                other.txdata[place].output[0].value = bitcoin::Amount::from_sat(1);
                assert_eq!(check_contents(&other, &hash), Err(BlockFault::Transactions));
            }
        }
    }

    #[test]
    fn t06_another_block_than_asked_for_and_one_without_a_coinbase_are_refused() {
        let (one, two) = (block(1), block(2));
        let fault = check_contents(&two, &one.block_hash()).unwrap_err();
        assert_eq!(fault, BlockFault::Hash { asked: one.block_hash(), found: two.block_hash() });
        let mut headless = block(2);
        headless.txdata.remove(0);
        seal(&mut headless);
        assert_eq!(check_contents(&headless, &headless.block_hash()), Err(BlockFault::Coinbase));
        let mut twice = block(1);
        let mut second = twice.txdata[0].clone();
        second.output[0].value = bitcoin::Amount::from_sat(1);
        twice.txdata.push(second);
        seal(&mut twice);
        assert_eq!(check_contents(&twice, &twice.block_hash()), Err(BlockFault::Coinbase));
    }

    #[test]
    fn t06_witnesses_are_committed_to() {
        let mut forged = block(1);
        forged.txdata[1].input[0].witness.push([1, 2, 3]);
        assert_eq!(check_contents(&forged, &forged.block_hash()), Err(BlockFault::Witnesses));
    }

    #[test]
    fn t06_a_header_needs_the_work_of_the_chain_before_it() {
        let genesis = genesis_block(bitcoin::Network::Regtest).header;
        let next = block(0).header;
        assert_eq!(check_header(&next, &genesis, 1, Network::Regtest), Ok(()));
        let mut lazy = next;
        while lazy.validate_pow(lazy.target()).is_ok() {
            lazy.nonce += 1;
        }
        assert_eq!(check_header(&lazy, &genesis, 1, Network::Regtest), Err(BlockFault::Work));
        assert_eq!(check_header(&next, &genesis, 1, Network::Bitcoin), Err(BlockFault::Work), "easier than its limit");
        let stray = Header { prev_blockhash: next.block_hash(), ..next };
        assert!(matches!(check_header(&stray, &genesis, 1, Network::Regtest), Err(BlockFault::Previous { .. })));
    }

    #[test]
    fn t06_the_first_block_of_the_chain_holds_and_an_easier_one_does_not() {
        // Block 1 of the main chain, as published (height 1, mined 2009-01-09).
        let genesis = genesis_block(bitcoin::Network::Bitcoin).header;
        let mut first = Header {
            version: bitcoin::block::Version::ONE,
            prev_blockhash: genesis.block_hash(),
            merkle_root: "0e3e2357e806b6cdb1f70b54c3a3a17b6714ee1f0e68bebb44a74b1efd512098".parse().unwrap(),
            time: 1_231_469_665,
            bits: CompactTarget::from_consensus(0x1d00_ffff),
            nonce: 2_573_394_689,
        };
        assert_eq!(check_header(&first, &genesis, 1, Network::Bitcoin), Ok(()));
        // The same work, when the chain before has become harder: refused between two changes, and at a change beyond four times.
        let hard = Header { bits: CompactTarget::from_consensus(0x1c00_ffff), ..genesis };
        first.prev_blockhash = hard.block_hash();
        assert_eq!(check_header(&first, &hard, 1, Network::Bitcoin), Err(BlockFault::Work));
        assert_eq!(check_header(&first, &hard, INTERVAL, Network::Bitcoin), Err(BlockFault::Work));
    }

    #[test]
    fn four_times_as_easy() {
        for bits in [0x1d00_ffff, 0x1703_4219, 0x207f_ffff, 0x0300_0001] {
            let target = Target::from_compact(CompactTarget::from_consensus(bits));
            let most = easier(target);
            assert!(most > target);
        }
        let one = Target::from_compact(CompactTarget::from_consensus(0x0300_0001));
        assert_eq!(easier(one), Target::from_compact(CompactTarget::from_consensus(0x0300_0004)));
    }
}
