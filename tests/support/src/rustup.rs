//! What `rustup` installs: libraries for other targets, and other toolchains.

use crate::packages::succeeds;
use std::process::Command;

/// Whether a command of rustc's finds what it is asked for.
fn prints(arguments: &[&str], exists: &str) -> bool {
    let output = Command::new("rustc").args(arguments).args(["--print", "sysroot"]).output();
    output.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success() && std::path::Path::new(&sysroot).join(exists).exists()
    })
}

/// Has Rust's library for `targets`, or stops with what to do.
pub fn require_targets(targets: &[&str]) {
    for target in targets {
        let library = format!("lib/rustlib/{target}/lib");
        let installed = || prints(&[], &library);
        assert!(
            installed() || (succeeds("rustup", &["target", "add", target]) && installed()),
            "Rust's library for {target} is missing. Run `rustup target add {target}` and the tests again"
        );
    }
}

/// Has the toolchain of `version`, or stops with what to do. Returns the word that chooses it.
pub fn require_toolchain(version: &str) -> String {
    let word = format!("+{version}");
    let installed = || prints(&[&word], "lib/rustlib");
    let install = ["toolchain", "install", version, "--profile", "minimal"];
    assert!(
        installed() || (succeeds("rustup", &install) && installed()),
        "Rust {version} is missing. Run `rustup {}` and the tests again",
        install.join(" ")
    );
    word
}
