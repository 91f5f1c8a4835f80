//! Files and network by Landlock: everything that the newest known version can hold is held, and only the given paths are left.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::errno::Errno;

use crate::{Landlock, LandlockRule, WallError, Walls};

/// The newest version that this was written for. Older kernels hold what they know; [`Landlock::left_to_seccomp`] says the rest.
const NEWEST: ABI = ABI::V10;
/// Readable by everyone wherever walls go up, so that a refusal can only come from them.
const OUTSIDE: &str = "/proc/self/status";

/// Puts the rules in force for the calling thread and those that it starts.
pub fn raise(walls: &Walls) -> Result<Landlock, WallError> {
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for path in &walls.read_only {
        ruleset = leave(ruleset, path, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    for path in &walls.read_write {
        ruleset = leave(ruleset, path, read_write())?;
    }
    let status = ruleset.restrict_self()?;
    let reason = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
            return Ok(Landlock::InForce { abi: effective_abi as u32 });
        }
        LandlockStatus::Available { .. } => "Landlock is there and enforces nothing",
        LandlockStatus::NotEnabled => "Landlock is not enabled; add it to the kernel's parameter lsm=",
        LandlockStatus::NotImplemented => {
            "no Landlock in this kernel (Linux 5.13 or newer, CONFIG_SECURITY_LANDLOCK), or a container forbids it"
        }
    };
    match walls.landlock {
        LandlockRule::Required => Err(WallError::NoLandlock(reason)),
        LandlockRule::IfThere => Ok(Landlock::Missing { reason }),
    }
}

/// What a process needs that writes files by temporary file and rename. Not: run, make devices, sockets, pipes or links.
fn read_write() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

fn leave(ruleset: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, WallError> {
    let named = |error| WallError::Path(path.to_owned(), error);
    // Rights that only directories have are an error on a file.
    let directory = fs::metadata(path).map_err(named)?.is_dir();
    let access = if directory { access } else { access & AccessFs::from_file(NEWEST) };
    let descriptor = PathFd::new(path).map_err(|error| named(std::io::Error::other(error)))?;
    Ok(ruleset.add_rule(PathBeneath::new(descriptor, access))?)
}

/// A file outside cannot be opened.
pub fn check(walls: &Walls) -> Result<(), WallError> {
    let left = |path: &PathBuf| Path::new(OUTSIDE).starts_with(path);
    if walls.read_write.iter().chain(&walls.read_only).any(left) {
        return Ok(());
    }
    match File::open(OUTSIDE) {
        Err(error) if error.raw_os_error() == Some(Errno::EACCES as i32) => Ok(()),
        _ => Err(WallError::NotInForce("files outside can be opened")),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;
    use crate::MemoryRule;

    fn walls(directory: &Path) -> Walls {
        Walls {
            read_write: vec![directory.to_owned()],
            read_only: Vec::new(),
            listen_port: None,
            memory: MemoryRule::MaySwap,
            landlock: LandlockRule::Required,
        }
    }

    /// Rules hold for the thread that asks: this one ends with them.
    fn behind<T: Send + 'static>(
        walls: Walls,
        work: impl FnOnce(Result<Landlock, WallError>) -> T + Send + 'static,
    ) -> T {
        thread::spawn(move || work(raise(&walls))).join().unwrap()
    }

    /// The kernel's version, asked without this crate's code: 0 when there is none.
    fn abi() -> u32 {
        let newest = [ABI::V10, ABI::V9, ABI::V8, ABI::V7, ABI::V6, ABI::V5, ABI::V4, ABI::V3, ABI::V2, ABI::V1];
        let knows = |abi: &ABI| {
            use landlock::{CompatLevel, Compatible as _};
            let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
            // Versions 7 and 8 bring nothing that a ruleset handles.
            !matches!(abi, ABI::V7 | ABI::V8)
                && ruleset
                    .handle_access(AccessFs::from_all(*abi))
                    .and_then(|ruleset| match AccessNet::from_all(*abi) {
                        none if none.is_empty() => Ok(ruleset),
                        access => ruleset.handle_access(access),
                    })
                    .and_then(|ruleset| match Scope::from_all(*abi) {
                        none if none.is_empty() => Ok(ruleset),
                        scope => ruleset.scope(scope),
                    })
                    .and_then(Ruleset::create)
                    .is_ok()
        };
        newest.into_iter().find(knows).map_or(0, |abi| abi as u32)
    }

    fn refusal<T>(outcome: io::Result<T>) -> Option<i32> {
        outcome.err().and_then(|error| error.raw_os_error())
    }

    #[test]
    fn t05_landlock_alone_holds_files_and_connections() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        TcpStream::connect(address).unwrap();
        let (inside, other, kernel) = (directory.path().to_owned(), outside.path().to_owned(), abi());
        behind(walls(directory.path()), move |outcome| {
            if kernel == 0 {
                assert!(matches!(outcome, Err(WallError::NoLandlock(_))), "{outcome:?}");
                return;
            }
            let Landlock::InForce { abi } = outcome.unwrap() else { panic!("not in force") };
            assert!(abi >= kernel, "{abi} of {kernel}");
            let denied = Some(Errno::EACCES as i32);
            assert_eq!(refusal(fs::read(other.join("secret"))), denied);
            assert_eq!(refusal(fs::read_dir(&other)), denied);
            assert_eq!(refusal(fs::write(other.join("new"), "x")), denied);
            assert_eq!(refusal(fs::remove_file(other.join("secret"))), denied);
            assert_eq!(refusal(std::os::unix::net::UnixListener::bind(inside.join("socket"))), denied);
            assert_eq!(refusal(std::os::unix::fs::symlink("/etc", inside.join("link"))), denied);
            assert_eq!(refusal(std::process::Command::new("/bin/true").status()), denied);
            if kernel >= 4 {
                assert_eq!(refusal(TcpStream::connect(address)), denied);
                assert_eq!(refusal(TcpListener::bind("127.0.0.1:0")), denied);
            }
            fs::write(inside.join("new"), "x").unwrap();
            fs::create_dir(inside.join("sub")).unwrap();
            fs::rename(inside.join("new"), inside.join("newer")).unwrap();
            assert_eq!(fs::read(inside.join("newer")).unwrap(), b"x");
        });
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let error = behind(walls(Path::new("/nowhere/at/all")), |outcome| outcome.unwrap_err());
        assert!(matches!(&error, WallError::Path(path, _) if path == Path::new("/nowhere/at/all")), "{error}");
    }

    #[test]
    fn a_file_can_be_left_open_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (directory.path().join("one"), directory.path().join("other"));
        fs::write(&one, "1").unwrap();
        fs::write(&other, "2").unwrap();
        let kernel = abi();
        let mut walls = walls(&one);
        walls.read_only = vec![one.clone()];
        behind(walls, move |outcome| {
            if kernel == 0 {
                assert!(matches!(outcome, Err(WallError::NoLandlock(_))), "{outcome:?}");
                return;
            }
            outcome.unwrap();
            fs::write(&one, "3").unwrap();
            assert_eq!(fs::read(&one).unwrap(), b"3");
            assert_eq!(refusal(fs::read(&other)), Some(Errno::EACCES as i32));
        });
    }
}
