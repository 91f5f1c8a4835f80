//! Away from root, for good.

use std::ffi::CString;
use std::io;

use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::unistd::{
    Gid, Uid, User, getgrouplist, getgroups, getresgid, getresuid, setegid, seteuid, setgid, setgroups, setuid,
};

use crate::{WallError, process};

/// Why the process does not become another user.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// No such user.
    #[error("there is no user {0}; create it (useradd --system {0}) or name another")]
    Unknown(String),
    /// The system's list of users.
    #[error("the system's users cannot be looked up")]
    Lookup(#[source] io::Error),
    /// The user is as strong as root.
    #[error("{0} is root or in root's group; name a user of the signer's own")]
    Root(String),
    /// Only root can become another user.
    #[error("not started as root, so it cannot become {0}; start it as root, or as that user and name none")]
    NotRoot(String),
    /// Threads, or `/proc`.
    #[error("the process is not fit to change its user")]
    Process(#[from] WallError),
    /// The kernel refuses.
    #[error("the process cannot become {0}")]
    Refused(String, #[source] io::Error),
    /// It is another user, and something of root is left. The process must end.
    #[error("{0} although the process is another user now; stop, and report it")]
    NotDropped(&'static str),
}

/// Makes the process `user`, with the user's own group and groups and nothing of root: no saved id, no capability. Afterwards root
/// cannot be had back, which is tried. To be called as root, before threads start and before [`crate::Walls::raise`].
///
/// # Errors
/// Each names what to do. After any error the process must end: it may be half way.
pub fn drop_privileges(user: &str) -> Result<(), PrivilegeError> {
    let account = User::from_name(user).map_err(|error| PrivilegeError::Lookup(error.into()))?;
    let account = account.ok_or_else(|| PrivilegeError::Unknown(user.to_owned()))?;
    let name = CString::new(user).map_err(|_| PrivilegeError::Unknown(user.to_owned()))?;
    let groups = getgrouplist(&name, account.gid).map_err(|error| PrivilegeError::Lookup(error.into()))?;
    if account.uid.is_root() || account.gid == Gid::from_raw(0) || groups.contains(&Gid::from_raw(0)) {
        return Err(PrivilegeError::Root(user.to_owned()));
    }
    if !Uid::effective().is_root() {
        return Err(PrivilegeError::NotRoot(user.to_owned()));
    }
    process::alone()?;
    // Other users' limits are small, and locking memory comes later. Where even root may not raise it, locking says so by name.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    // Groups first: whoever is no longer root cannot change them.
    setgroups(&groups)
        .and_then(|()| setgid(account.gid))
        .and_then(|()| setuid(account.uid))
        .map_err(|error| PrivilegeError::Refused(user.to_owned(), error.into()))?;
    check(&account, groups)
}

fn check(account: &User, mut groups: Vec<Gid>) -> Result<(), PrivilegeError> {
    let left = PrivilegeError::NotDropped;
    let users = getresuid().is_ok_and(|ids| [ids.real, ids.effective, ids.saved] == [account.uid; 3]);
    let own = getresgid().is_ok_and(|ids| [ids.real, ids.effective, ids.saved] == [account.gid; 3]);
    if !users || !own {
        return Err(left("a user or group id is left"));
    }
    let mut now = getgroups().map_err(|_| left("the groups cannot be read"))?;
    for list in [&mut now, &mut groups] {
        list.sort_by_key(|gid| gid.as_raw());
        list.dedup();
    }
    if now != groups {
        return Err(left("a group is left"));
    }
    for set in ["CapPrm", "CapEff", "CapAmb"] {
        if process::status(set)?.bytes().any(|digit| digit != b'0') {
            return Err(left("a capability is left"));
        }
    }
    let root = (Uid::from_raw(0), Gid::from_raw(0));
    if setuid(root.0).is_ok() || seteuid(root.0).is_ok() || setgid(root.1).is_ok() || setegid(root.1).is_ok() {
        return Err(left("root can be had back"));
    }
    if setgroups(&[root.1]).is_ok() {
        return Err(left("root's group can be had back"));
    }
    Ok(())
}
