//! Why walls do not go up.

use std::io;
use std::path::PathBuf;

/// Why walls do not go up.
#[derive(Debug, thiserror::Error)]
pub enum WallError {
    /// Another thread runs; the walls would not hold for it.
    #[error("{0} threads run; the walls go up while there is one, before anything is started")]
    Threads(usize),
    /// `/proc` cannot be read.
    #[error("{0} cannot be read; mount proc where the signer runs")]
    Proc(&'static str, #[source] io::Error),
    /// A socket that would stay usable behind the walls.
    #[error("open: {0}; before the walls go up, close every socket of the Internet but the one listener")]
    OpenSocket(String),
    /// Core dumps cannot be forbidden.
    #[error("core dumps cannot be forbidden")]
    CoreDumps(#[source] io::Error),
    /// The memory cannot be locked.
    #[error(
        "the memory cannot be locked with {}; {MEMORY_ADVICE}",
        limit_bytes.map_or("no limit".to_owned(), |bytes| format!("a limit of {} KiB", bytes / 1024))
    )]
    Memory {
        /// RLIMIT_MEMLOCK in bytes, the hard limit; `None` when it is unlimited.
        limit_bytes: Option<u64>,
        /// The system's own answer.
        #[source]
        source: io::Error,
    },
    /// The flag no_new_privs.
    #[error("the kernel does not let go of new privileges (no_new_privs)")]
    NewPrivileges(#[source] io::Error),
    /// A path of the rules.
    #[error("{0} cannot be opened, and the walls need each path that they leave open; create it first")]
    Path(PathBuf, #[source] io::Error),
    /// No Landlock.
    #[error("{0}; without it only file modes protect what lies outside the signer's directory")]
    NoLandlock(&'static str),
    /// Landlock is there and refuses.
    #[error("Landlock refuses the rules")]
    Landlock(#[from] landlock::RulesetError),
    /// No seccomp, or it refuses.
    #[error("the kernel does not take the filter of system calls (seccomp); Linux needs CONFIG_SECCOMP_FILTER")]
    Seccomp(#[from] seccompiler::Error),
    /// A wall was raised and does not stand.
    #[error("{0} although the walls are up; do not use this kernel for a signer")]
    NotInForce(&'static str),
}

const MEMORY_ADVICE: &str = "give the signer an unlimited RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity; a shell: ulimit -l \
                             unlimited; containers: --ulimit memlock=-1) or the capability CAP_IPC_LOCK";
