//! The device's library. A process starts a library once, however many tokens it opens through it, and stops it when
//! the last is closed: some libraries find a token that came back only after a new start.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use crate::error::TokenError;

/// Libraries by their canonical path. They stay loaded: not every library survives being unloaded.
static MODULES: Mutex<BTreeMap<PathBuf, Loaded>> = Mutex::new(BTreeMap::new());

struct Loaded {
    pkcs11: Pkcs11,
    /// Open tokens.
    users: usize,
    /// Whether we have started it, and not somebody else in this process.
    ours: bool,
}

/// A started library; given back when dropped.
pub struct Module {
    path: PathBuf,
    pkcs11: Pkcs11,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Module").field(&self.path).finish()
    }
}

fn modules() -> MutexGuard<'static, BTreeMap<PathBuf, Loaded>> {
    MODULES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Loads the library, starts it once and stops it again: for a process that cannot load code any more when it opens a token.
pub fn load(path: &Path) -> Result<(), TokenError> {
    Module::start(path).map(drop)
}

impl Module {
    /// Loads and starts the library if nobody has yet.
    pub fn start(path: &Path) -> Result<Module, TokenError> {
        if !path.is_absolute() {
            return Err(TokenError::ModulePath(path.to_owned()));
        }
        let path = path.canonicalize().map_err(|_| TokenError::ModuleMissing(path.to_owned()))?;
        let refused = |source| TokenError::Module { path: path.clone(), source };
        let mut modules = modules();
        if !modules.contains_key(&path) {
            let pkcs11 = Pkcs11::new(&path).map_err(refused)?;
            modules.insert(path.clone(), Loaded { pkcs11, users: 0, ours: false });
        }
        let loaded = modules.get_mut(&path).ok_or_else(|| TokenError::ModuleMissing(path.clone()))?;
        if loaded.users == 0 {
            loaded.ours = match loaded.pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
                Ok(()) => true,
                Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => false,
                Err(source) => return Err(refused(source)),
            };
        }
        loaded.users += 1;
        let pkcs11 = loaded.pkcs11.clone();
        Ok(Module { path, pkcs11 })
    }

    /// Its functions.
    pub const fn pkcs11(&self) -> &Pkcs11 {
        &self.pkcs11
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let mut modules = modules();
        let Some(loaded) = modules.get_mut(&self.path) else { return };
        loaded.users = loaded.users.saturating_sub(1);
        if loaded.users == 0 && loaded.ours {
            // A library that does not stop says so at the next start.
            let _ = loaded.pkcs11.clone().finalize();
        }
    }
}
