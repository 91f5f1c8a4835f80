//! Finding or fetching bitcoind.
//!
//! Debian's unstable suite has a maintained package (Bitcoin Knots). Its C library is newer than that of a stable system, so
//! package and libraries are unpacked into a directory of their own and started through their own loader. apt checks every
//! signature and hash; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, root};

const PACKAGE: &str = "bitcoin-knots";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Path of a bitcoind: `BITCOIND`, one on `PATH`, or the one fetched into `target/nodes`.
pub fn bitcoind() -> Outcome<PathBuf> {
    if let Some(path) = std::env::var_os("BITCOIND") {
        return Ok(PathBuf::from(path));
    }
    let on_path = std::env::var_os("PATH").and_then(|paths| {
        std::env::split_paths(&paths).map(|directory| directory.join("bitcoind")).find(|path| path.is_file())
    });
    if let Some(path) = on_path {
        return Ok(path);
    }
    let home = root().join("target/nodes");
    let starter = home.join("bitcoind");
    if !starter.is_file() {
        fetch(&home)
            .map_err(|error| format!("bitcoind cannot be fetched: {error}\nInstall one, or name it in BITCOIND."))?;
    }
    Ok(starter)
}

fn fetch(home: &Path) -> Outcome {
    eprintln!("fetching bitcoind (about 30 MB of Debian packages) into {}", home.display());
    let work = home.join("apt");
    // What an earlier try left behind is not trusted.
    let _ = fs::remove_dir_all(home);
    for directory in ["lists/partial", "cache/archives/partial", "root"] {
        fs::create_dir_all(work.join(directory)).map_err(|error| error.to_string())?;
    }
    let mirror = mirror()?;
    write(&work.join("status"), "")?;
    write(&work.join("sources.list"), &format!("deb [signed-by={KEYRING}] {mirror} sid main\n"))?;
    let at = work.display();
    let config = format!(
        "Dir::State \"{at}\";\nDir::State::status \"{at}/status\";\nDir::State::lists \"{at}/lists\";\nDir::Cache \"{at}/cache\";\n\
         Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
         APT::Sandbox::User \"root\";\nAPT::Install-Recommends \"false\";\nAPT::Get::Assume-Yes \"true\";\nAcquire::Retries \"3\";\n\
         Acquire::Languages \"none\";\n"
    );
    write(&work.join("apt.conf"), &config)?;
    apt(&work, &["update"])?;
    apt(&work, &["--download-only", "install", PACKAGE])?;
    let unpacked = home.join("root");
    fs::create_dir_all(&unpacked).map_err(|error| error.to_string())?;
    let archives = fs::read_dir(work.join("cache/archives")).map_err(|error| error.to_string())?;
    for archive in archives.flatten().map(|entry| entry.path()) {
        if archive.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&unpacked))?;
        }
    }
    start_script(home, &unpacked)?;
    let _ = fs::remove_dir_all(&work);
    Ok(())
}

fn start_script(home: &Path, unpacked: &Path) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];
    let libraries = libraries.map(|path| unpacked.join(path)).into_iter().find(|path| path.is_dir());
    let libraries = libraries.ok_or("the packages hold no libraries of this machine's kind")?;
    let loaders = ["ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"];
    let loader = loaders.map(|name| libraries.join(name)).into_iter().find(|path| path.exists()).ok_or("no loader")?;
    let program = unpacked.join("usr/bin/bitcoind");
    let script = format!(
        "#!/bin/sh\nexec '{}' --library-path '{}' '{}' \"$@\"\n",
        loader.display(),
        libraries.display(),
        program.display()
    );
    let starter = home.join("bitcoind.new");
    write(&starter, &script)?;
    fs::set_permissions(&starter, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    run(Command::new(&starter).arg("-version"))?;
    // Only what was seen to start gets the name under which it is found.
    fs::rename(&starter, home.join("bitcoind")).map_err(|error| error.to_string())
}

/// The address of the archive that this machine's apt uses already.
fn mirror() -> Outcome<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Identifier: Packages"])
        .output()
        .map_err(|error| format!("apt-get: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let main = text.lines().filter_map(|line| line.split_once(' ')).find(|(uri, codename)| {
        !codename.contains('-') && !uri.contains("security") && uri.trim_end_matches('/').ends_with("debian")
    });
    let uri = main.map(|(uri, _)| uri.to_owned());
    uri.ok_or_else(|| "apt on this machine names no Debian archive; run apt-get update first".to_owned())
}

fn apt(work: &Path, arguments: &[&str]) -> Outcome {
    run(Command::new("apt-get")
        .env("APT_CONFIG", work.join("apt.conf"))
        .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
        .args(arguments))
}

fn run(command: &mut Command) -> Outcome {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
