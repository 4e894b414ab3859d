//! Finds, or installs, what builds and runs a program for another architecture, and says what to install where neither
//! works.
//!
//! Three ways lead to a target's `core` and `alloc`, and are tried in this order:
//!
//! 1. rustup has them ready made, or can fetch them (`rustup target add`);
//! 2. rustup has, or can fetch, their source (`rust-src`): cargo builds them (`-Zbuild-std`);
//! 3. Debian's packages have the source for Debian's own compiler.
//!
//! Building `core` from source, and the experimental assembly of some architectures, are open to a stable compiler only
//! with `RUSTC_BOOTSTRAP=1`.

use crate::packages::{self, install, succeeds};
use crate::places::{repository, scratch};
use crate::programs::plainly;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/core";
/// Older ones do not know all of the architectures.
const DEBIAN_LINKERS: [&str; 3] = ["/usr/bin/ld.lld-22", "/usr/bin/ld.lld-19", "/usr/bin/ld.lld-18"];
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Instructions that a target may use and that QEMU does not know before version 8.1. Ready-made libraries contain them.
fn too_new(target: &str) -> Option<&'static str> {
    (target == "loongarch64-unknown-linux-gnu").then_some("lsx")
}

/// How `core` for a target comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ReadyMade,
    RustupSource,
    DebianSource,
}

/// Builds programs of a package for `target`. Returns the directory they are in. What is missing is installed, or this stops
/// with what to install.
pub fn build(target: &str, package: &str, programs: &[&str]) -> PathBuf {
    let way = way(target);
    let directory = scratch("matrix");
    let output = command(target, way, &directory, package, programs).output().expect("cargo runs");
    assert!(output.status.success(), "building for {target} failed ({way:?}):\n{}", text(&output.stderr));
    built(target, way, &directory)
}

/// Where `command` puts what it builds below `directory`.
pub fn built(target: &str, way: Way, directory: &Path) -> PathBuf {
    directory.join(format!("{way:?}")).join(target).join(target).join("release")
}

/// The command that builds programs of a package for `target`.
pub fn command(target: &str, way: Way, directory: &Path, package: &str, programs: &[&str]) -> Command {
    let directory = directory.join(format!("{way:?}")).join(target);
    let mut command = match way {
        Way::DebianSource => Command::new(DEBIAN_CARGO),
        _ => Command::new(env::var_os("CARGO").as_deref().unwrap_or(OsStr::new("cargo"))),
    };
    plainly(&mut command);
    // What cargo and nextest set for the tests themselves, and `program` for another kind of build.
    ["LD_LIBRARY_PATH", "RUSTC", "HMALLOC_PIE"].iter().for_each(|name| _ = command.env_remove(name));
    if way == Way::DebianSource {
        command.env("RUSTC", DEBIAN_RUSTC).env_remove("RUSTUP_TOOLCHAIN");
    }
    if way != Way::ReadyMade {
        command.arg("-Zbuild-std=core,alloc");
    }
    let mut flags = "-Clinker-flavor=ld.lld -Crelocation-model=static -Ctarget-feature=+crt-static".to_owned();
    if let Some(feature) = too_new(target) {
        flags += &format!(",-{feature}");
    }
    let linker = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    command
        .args(["build", "--release", "--quiet", "--package", package, "--target", target, "--target-dir"])
        .arg(&directory)
        .args(programs.iter().flat_map(|program| ["--bin", program]))
        // The programs are what is looked at, not `core`: unoptimized, it is built in half the time.
        .args(["--config", "profile.release.lto=false", "--config", "profile.release.opt-level=0"])
        .args(["--config", "profile.release.package.hmalloc.opt-level=3"])
        .args(["--config", "profile.release.package.hmalloc-qemu.opt-level=3"])
        .args(["--config", "profile.release.package.hmalloc-runtime.opt-level=3"])
        .current_dir(repository(""))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", flags)
        .env(linker, linker_path());
    command
}

/// What is here to build for `target`, with nothing installed. `None` if that is not enough.
pub fn way_here(target: &str) -> Option<Way> {
    let debian = || [DEBIAN_RUSTC, DEBIAN_CARGO, DEBIAN_SOURCE].iter().all(|path| Path::new(path).exists());
    if too_new(target).is_none() && lists(&["target", "list", "--installed"], target) {
        Some(Way::ReadyMade)
    } else if lists(&["component", "list", "--installed"], "rust-src") {
        Some(Way::RustupSource)
    } else {
        debian().then_some(Way::DebianSource)
    }
}

/// What to install to build for other machines.
pub const ADVICE: &str =
    "rustup component add rust-src (or on Debian, as root: apt-get install rustc-web cargo-web rust-web-src)";

/// What builds for `target`. What is missing is installed, or this stops with what to install.
pub fn way(target: &str) -> Way {
    let here = || way_here(target);
    // What is ready made is looked for first, wherever it can come from.
    if too_new(target).is_none() && here() != Some(Way::ReadyMade) {
        succeeds("rustup", &["target", "add", target]);
    }
    let source = || here().or_else(|| succeeds("rustup", &["component", "add", "rust-src"]).then(here).flatten());
    source().or_else(|| install(&DEBIAN_PACKAGES).then(here).flatten()).unwrap_or_else(|| {
        panic!("Nothing here builds for {target}. Run rustup target add {target}, or {ADVICE}, and run the tests again")
    })
}

/// Whether a list that rustup prints has `item` in it.
fn lists(arguments: &[&str], item: &str) -> bool {
    let Ok(output) = Command::new("rustup").args(arguments).output() else { return false };
    text(&output.stdout).lines().any(|line| line == item)
}

/// A linker for every architecture: the one that comes with rustup's toolchain, or LLVM's own.
fn linker_path() -> PathBuf {
    if let Ok(output) = Command::new("rustc").args(["--print", "sysroot"]).output() {
        let rustlib = PathBuf::from(text(&output.stdout).trim()).join("lib/rustlib");
        let bundled = rustlib.join(format!("{}-unknown-linux-gnu/bin/rust-lld", env::consts::ARCH));
        if bundled.exists() {
            return bundled;
        }
    }
    let find = || DEBIAN_LINKERS.iter().map(PathBuf::from).find(|path| path.exists());
    find().or_else(|| install(&["lld-19"]).then(find).flatten()).unwrap_or_else(|| {
        panic!(
            "No linker for other architectures here: install Rust by rustup, whose toolchain has rust-lld, or \
             LLVM's (Debian: apt-get install lld-19), and run the tests again"
        )
    })
}

/// The path of an emulator of QEMU's user mode.
pub fn emulator(name: &str) -> PathBuf {
    packages::program(&[name, &format!("{name}-static")], "qemu-user")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
