//! The walls that a process of Linux raises around itself before it serves anyone: what it can no longer do afterwards, whoever
//! runs code in it.
//!
//! Order at a start: load whatever is loaded (a PKCS#11 module), open the journal, bind the listeners, [`drop_privileges`],
//! [`Walls::raise`], read secrets, serve. Nothing here can be taken back, and every wall is tried before [`Walls::raise`]
//! returns. The walls hold for the thread that raises them and all that it starts, which is why it must be the only one.
//!
//! Trusts the kernel and `/proc` at the moment of the start. What the walls do not do: they hide nothing from root on the same
//! host, and an intruder can still do within them whatever the process itself may do.

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("the walls are those of Linux on x86_64 and aarch64; build for one of these");

mod calls;
mod error;
mod files;
mod privileges;
mod process;
mod report;
mod sockets;
mod stack;

use std::path::PathBuf;

pub use error::WallError;
pub use privileges::{PrivilegeError, drop_privileges};
pub use report::{Landlock, Memory, Report};
pub use stack::{SCRUBBED_BYTES, scrub_stack};

/// Whether pages may be written to the swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryRule {
    /// No page ever; raising the walls fails where the system does not let the process lock its memory.
    Locked,
    /// As the system likes. For hosts without swap, or with an encrypted one; stands in the report.
    MaySwap,
}

/// What to do on a kernel without Landlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LandlockRule {
    /// Raise no walls: an error.
    Required,
    /// Do without: files are then protected by their modes alone. Stands in the report, with the reason.
    IfThere,
}

/// What the process may still do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walls {
    /// Directories and files that it may read, write, create, rename and remove in; each must exist.
    pub read_write: Vec<PathBuf>,
    /// Directories and files that it may only read; each must exist.
    pub read_only: Vec<PathBuf>,
    /// The port on which it listens already. Any other socket of the Internet that is open when the walls go up is an error:
    /// walls keep sockets from being made, not from being used. `None`: there is no such listener.
    pub listen_port: Option<u16>,
    /// Swap.
    pub memory: MemoryRule,
    /// Kernels without Landlock.
    pub landlock: LandlockRule,
}

/// For a program that handles secrets for a moment and still has to do everything else: no core dumps, and no reader of the same user.
/// Memory is locked as far as the system lets it be; the answer says whether.
///
/// # Errors
/// [`WallError`] when core dumps cannot be forbidden.
pub fn guard_memory() -> Result<Memory, WallError> {
    process::no_core_dumps()?;
    Ok(process::lock_memory().unwrap_or(Memory::MaySwap))
}

impl Walls {
    /// Raises the walls around this process, in this order: no core dumps and no reader of the same user; memory locked; no new
    /// privileges; files and network by Landlock; system calls by seccomp. Then tries them.
    ///
    /// # Errors
    /// Every one names what is missing and what to do. The process must not go on after an error: some walls may stand.
    pub fn raise(&self) -> Result<Report, WallError> {
        process::alone()?;
        sockets::only_listener(self.listen_port)?;
        process::no_core_dumps()?;
        let memory = match self.memory {
            MemoryRule::Locked => process::lock_memory()?,
            MemoryRule::MaySwap => Memory::MaySwap,
        };
        process::no_new_privileges()?;
        let landlock = files::raise(self)?;
        let calls = calls::raise()?;
        let report = Report { memory, landlock, calls };
        self.check(&report)?;
        Ok(report)
    }

    /// Tries what must be impossible by now, rather than believing that it is.
    fn check(&self, report: &Report) -> Result<(), WallError> {
        process::check()?;
        calls::check()?;
        if matches!(report.landlock, Landlock::InForce { .. }) {
            files::check(self)?;
        }
        Ok(())
    }
}
