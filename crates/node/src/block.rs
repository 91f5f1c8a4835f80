//! What makes bytes a block of our chain, whoever sent them: a node is a stranger that happens to be ours.
//!
//! Trusted: the hash of the block that was taken into account before. Refused: contents that their header does not commit to, and headers
//! that cost less work than the chain asks for there. So whoever owns a node invents no coin without mining at the chain's own
//! difficulty. Tried by `t06_` tests below and by those of the online system.

use std::collections::BTreeSet;

use bitcoin::block::Header;
use bitcoin::params::Params;
use bitcoin::{Block, BlockHash, CompactTarget, Target};
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
    let target = header.target();
    let proven = header.validate_pow(target).is_ok();
    if proven && may_follow(header.bits, before.bits, height, network) { Ok(()) } else { Err(BlockFault::Work) }
}

/// Whether the network may ask for `bits` at `height`, after `before`: never less work than its limit, the same as before between two
/// changes, and at a change at most four times as easy.
fn may_follow(bits: CompactTarget, before: CompactTarget, height: u32, network: Network) -> bool {
    let params = params(network);
    let target = Target::from_compact(bits);
    if target > params.max_attainable_target {
        return false;
    }
    if params.no_pow_retargeting || params.allow_min_difficulty_blocks {
        return true;
    }
    if height.is_multiple_of(INTERVAL) { target <= easier(Target::from_compact(before)) } else { bits == before }
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
    use bitcoin::{ScriptBuf, Transaction, TxMerkleNode};
    use proptest::prelude::*;

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
        let (easy, hard) = (first.bits, CompactTarget::from_consensus(0x1c00_ffff));
        assert!(may_follow(easy, easy, 1, Network::Bitcoin) && may_follow(hard, easy, INTERVAL, Network::Bitcoin));
        assert!(!may_follow(easy, hard, 1, Network::Bitcoin) && !may_follow(easy, hard, INTERVAL, Network::Bitcoin));
        // Its own work does not carry over to another place in the chain.
        first.prev_blockhash = first.block_hash();
        assert!(check_header(&first, &genesis, 1, Network::Bitcoin).is_err());
    }

    /// A block whose coinbase commits to the witnesses of its payments (BIP-141).
    fn witnessed(payments: u32) -> Block {
        let mut block = block(payments);
        for (n, payment) in (0u32..).zip(block.txdata.iter_mut().skip(1)) {
            payment.input[0].witness.push(n.to_be_bytes());
        }
        block.txdata[0].input[0].witness.push([0; 32]);
        let root = block.witness_root().unwrap();
        let mut script = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
        script.extend(Block::compute_witness_commitment(&root, &[0; 32]).to_byte_array());
        let script_pubkey = ScriptBuf::from_bytes(script);
        block.txdata[0].output.push(bitcoin::TxOut { value: bitcoin::Amount::ZERO, script_pubkey });
        seal(&mut block);
        block
    }

    /// Doubles the transactions that CVE-2012-2459 doubles: the end of a row of the tree that has an odd number of nodes.
    fn doubled(honest: &Block) -> Option<Block> {
        let count = honest.txdata.len();
        let width = 1usize << count.trailing_zeros();
        // A whole tree has no such end.
        if count == width {
            return None;
        }
        let mut block = honest.clone();
        block.txdata.extend_from_slice(&honest.txdata[count - width..]);
        Some(block)
    }

    #[test]
    fn t06_transactions_doubled_at_the_end_keep_the_root_and_are_refused() {
        let mut tried = 0;
        for payments in 0..40 {
            let honest = block(payments);
            let Some(mutated) = doubled(&honest) else { continue };
            // Nothing but looking for doubles tells them apart.
            assert!(mutated.check_merkle_root() && mutated.block_hash() == honest.block_hash(), "{payments}");
            let fault = check_contents(&mutated, &honest.block_hash());
            assert_eq!(fault, Err(BlockFault::Transactions), "with {payments} payments");
            tried += 1;
        }
        assert_eq!(tried, 34, "all but the six powers of two");
    }

    #[test]
    fn t06_witnesses_other_than_those_committed_to_are_refused() {
        let honest = witnessed(3);
        let hash = honest.block_hash();
        assert_eq!(check_contents(&honest, &hash), Ok(()));
        for place in 1..honest.txdata.len() {
            let mut other = honest.clone();
            other.txdata[place].input[0].witness.push([9]);
            assert_eq!(other.block_hash(), hash, "the hash says nothing of witnesses");
            assert_eq!(check_contents(&other, &hash), Err(BlockFault::Witnesses));
        }
        // The coinbase's own witness salts the commitment.
        let mut other = honest;
        other.txdata[0].input[0].witness = bitcoin::Witness::from_slice(&[[1; 32]]);
        assert_eq!(check_contents(&other, &hash), Err(BlockFault::Witnesses));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn t06_whatever_a_node_changes_in_a_block_is_found(
            payments in 0u32..24, place in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), what in 0u8..6,
            sats in 1u64..2_100_000_000_000_000,
        ) {
            let honest = block(payments);
            let hash = honest.block_hash();
            prop_assert_eq!(check_contents(&honest, &hash), Ok(()));
            let count = honest.txdata.len();
            let (place, to) = (place.index(count), to.index(count));
            let mut changed = honest.clone();
            match what {
                0 => changed.txdata.push(forged(sats)),
                1 => changed.txdata.insert(place, forged(sats)),
                2 => drop(changed.txdata.remove(place)),
                3 => changed.txdata.swap(place, to),
                4 => changed.txdata.push(honest.txdata[place].clone()),
                _ => changed.txdata[place].output[0].value = bitcoin::Amount::from_sat(sats),
            }
            prop_assume!(changed != honest);
            prop_assert_eq!(check_contents(&changed, &hash), Err(BlockFault::Transactions));
        }

        #[test]
        fn t06_any_changed_bit_of_a_header_makes_another_block(payments in 0u32..4, bit in 0usize..640) {
            let honest = block(payments);
            let mut bytes = bitcoin::consensus::serialize(&honest);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed: Block = bitcoin::consensus::deserialize(&bytes).unwrap();
            let (asked, found) = (honest.block_hash(), changed.block_hash());
            prop_assert_eq!(check_contents(&changed, &asked), Err(BlockFault::Hash { asked, found }));
        }

        #[test]
        fn t06_no_height_lets_difficulty_fall_faster_than_the_chain_may(
            // From work like today's up to the limit itself.
            (size, digits) in (0x17u32..0x1d, 0x0001_0000u32..0x007f_ffff), easing in 1u32..12, step in 0u32..1_000_000,
            at_change in any::<bool>(),
        ) {
            let before = CompactTarget::from_consensus(size << 24 | digits);
            let was = Target::from_compact(before);
            let mut more = [0; 32];
            let mut carry = 0;
            for (to, byte) in more.iter_mut().zip(was.to_be_bytes()).rev() {
                carry += u32::from(byte) * easing;
                *to = u8::try_from(carry & 0xff).unwrap();
                carry >>= 8;
            }
            let bits = Target::from_be_bytes(more).to_compact_lossy();
            let target = Target::from_compact(bits);
            let height = if at_change { step * INTERVAL } else { step * INTERVAL + 1 + step % (INTERVAL - 1) };
            let limit = Params::MAINNET.max_attainable_target;
            let follows = if at_change { easing <= FACTOR } else { bits == before };
            prop_assert_eq!(may_follow(bits, before, height, Network::Bitcoin), follows && target <= limit);
        }

        #[test]
        fn t06_a_header_without_its_work_is_refused_on_every_network(nonce in any::<u32>(), height in any::<u32>()) {
            // As hard as the main chain has been: no nonce that is tried here has the work for it.
            let before = Header { bits: CompactTarget::from_consensus(0x1702_0000), ..block(0).header };
            let header = Header { prev_blockhash: before.block_hash(), nonce, ..before };
            for network in [Network::Bitcoin, Network::Testnet4, Network::Signet, Network::Regtest] {
                prop_assert_eq!(check_header(&header, &before, height, network), Err(BlockFault::Work));
            }
        }
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
