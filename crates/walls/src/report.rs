//! What is in force.

use std::fmt;

/// The memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// No page goes to the swap.
    Locked,
    /// Pages may go to the swap: the caller's choice.
    MaySwap,
}

/// Landlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// In force.
    InForce {
        /// Version of the kernel's interface that is used, from 1 on.
        abi: u32,
    },
    /// Not there, which the caller allowed.
    Missing {
        /// Why.
        reason: &'static str,
    },
}

impl Landlock {
    /// What this version leaves to the filter of system calls alone: each with the version that would hold it as well.
    pub fn left_to_seccomp(&self) -> Vec<&'static str> {
        let Landlock::InForce { abi } = self else { return Vec::new() };
        LATER.iter().filter(|(since, _)| since > abi).map(|(_, what)| *what).collect()
    }
}

/// What later versions of Landlock hold, too. Each stands in the filter of system calls anyway.
const LATER: &[(u32, &str)] =
    &[(3, "truncating"), (4, "TCP"), (5, "devices' controls"), (6, "signals"), (9, "Unix sockets"), (10, "UDP")];

/// What is in force; [`fmt::Display`] gives one line for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Swap.
    pub memory: Memory,
    /// Files and network.
    pub landlock: Landlock,
    /// How many system calls are left.
    pub calls: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no core dumps, ")?;
        f.write_str(match self.memory {
            Memory::Locked => "memory locked, ",
            Memory::MaySwap => "memory MAY BE SWAPPED (allowed), ",
        })?;
        f.write_str("no new privileges, ")?;
        match self.landlock {
            Landlock::InForce { abi } => write!(f, "Landlock {abi}, ")?,
            Landlock::Missing { reason } => write!(f, "NO LANDLOCK (allowed: {reason}), ")?,
        }
        write!(f, "{} system calls left", self.calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_shouts_what_is_missing() {
        let mut report = Report { memory: Memory::Locked, landlock: Landlock::InForce { abi: 2 }, calls: 9 };
        assert_eq!(
            report.to_string(),
            "no core dumps, memory locked, no new privileges, Landlock 2, 9 system calls left"
        );
        assert_eq!(report.landlock.left_to_seccomp().len(), LATER.len());
        assert_eq!(Landlock::InForce { abi: 9 }.left_to_seccomp(), ["UDP"]);
        report.memory = Memory::MaySwap;
        report.landlock = Landlock::Missing { reason: "none" };
        assert!(report.to_string().contains("MAY BE SWAPPED (allowed)"));
        assert!(report.to_string().contains("NO LANDLOCK (allowed: none)"));
    }
}
