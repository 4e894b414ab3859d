//! Programs that tests need and a machine may not have: found, installed, or asked for.

use crate::places::scratch;
use std::env;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs an installer, one at a time: the tests run side by side, and rustup does not expect company. `flock` is from
/// util-linux and everywhere; a program that is missing is a failure like any other.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let lock = scratch("installing");
    let output = Command::new("flock").arg(lock).args(["timeout", "300", program]).args(arguments).output();
    output.is_ok_and(|output: Output| output.status.success())
}

/// Installs Debian packages if this is Debian and root. What would take other packages away is not installed.
pub fn install(packages: &[&str]) -> bool {
    let arguments = [&["install", "--yes", "--no-remove", "--no-install-recommends"][..], packages].concat();
    // The lists of packages may be missing or old: they are fetched when the first try fails.
    succeeds("apt-get", &arguments) || (succeeds("apt-get", &["update"]) && succeeds("apt-get", &arguments))
}

/// The path of the first of `names` that is a program here. Installs Debian's `package` where there is none, and stops
/// with what to do where that does not work.
pub fn program(names: &[&str], package: &str) -> PathBuf {
    let find = || {
        let directories = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&directories)
            .flat_map(|directory| names.iter().map(move |name| directory.join(name)))
            .find(|path| path.exists())
    };
    find().or_else(|| install(&[package]).then(find).flatten()).unwrap_or_else(|| {
        panic!("{} is missing. Install it (Debian: apt-get install {package}) and run the tests again", names[0])
    })
}
