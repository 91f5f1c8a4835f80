//! Solving for the fragments: each part is an equation, that these fragments added bit by bit are those bytes. As soon as the
//! parts determine the message, it is found; nothing is thrown away that could still help.

use std::collections::BTreeMap;

const BITS: usize = 64;

/// The parts that say something new, each reduced by those before it so that no two begin with the same fragment.
pub(super) struct Equations {
    count: usize,
    rows: BTreeMap<usize, Row>,
}

struct Row {
    /// Which fragments are added, one bit each.
    fragments: Vec<u64>,
    sum: Vec<u8>,
}

/// An equation that cannot be true beside the others.
pub(super) struct Contradicts;

impl Equations {
    pub(super) fn new(count: usize) -> Equations {
        Equations { count, rows: BTreeMap::new() }
    }

    /// How many equations say something of their own. The message is known when there are as many as fragments.
    pub(super) fn rank(&self) -> usize {
        self.rows.len()
    }

    /// Takes an equation; says whether it was new.
    pub(super) fn add(&mut self, fragments: &[usize], sum: Vec<u8>) -> Result<bool, Contradicts> {
        let mut row = Row { fragments: vec![0; self.count.div_ceil(BITS)], sum };
        for fragment in fragments {
            row.flip(*fragment);
        }
        while let Some(first) = row.first() {
            let Some(known) = self.rows.get(&first) else {
                self.rows.insert(first, row);
                return Ok(true);
            };
            row.add(known);
        }
        if row.sum.iter().all(|byte| *byte == 0) { Ok(false) } else { Err(Contradicts) }
    }

    /// The fragments one after the other, when all are known.
    pub(super) fn solve(mut self) -> Option<Vec<u8>> {
        if self.rank() != self.count {
            return None;
        }
        let mut solved: BTreeMap<usize, Row> = BTreeMap::new();
        // From the last fragment back: what a row adds to its first fragment is known by then.
        while let Some((first, mut row)) = self.rows.pop_last() {
            for (place, known) in &solved {
                if row.has(*place) {
                    row.add(known);
                }
            }
            solved.insert(first, row);
        }
        Some(solved.into_values().flat_map(|row| row.sum).collect())
    }
}

impl Row {
    fn flip(&mut self, fragment: usize) {
        if let Some(word) = self.fragments.get_mut(fragment / BITS) {
            *word ^= 1 << (fragment % BITS);
        }
    }

    fn has(&self, fragment: usize) -> bool {
        self.fragments.get(fragment / BITS).is_some_and(|word| word >> (fragment % BITS) & 1 == 1)
    }

    fn first(&self) -> Option<usize> {
        let (place, word) = self.fragments.iter().enumerate().find(|(_, word)| **word != 0)?;
        usize::try_from(word.trailing_zeros()).ok().map(|bit| place * BITS + bit)
    }

    fn add(&mut self, other: &Row) {
        self.fragments.iter_mut().zip(&other.fragments).for_each(|(word, other)| *word ^= other);
        self.sum.iter_mut().zip(&other.sum).for_each(|(byte, other)| *byte ^= other);
    }
}
