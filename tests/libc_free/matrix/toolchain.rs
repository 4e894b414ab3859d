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

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::packages::{self, install, succeeds};
use support::places::{repository, scratch};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ReadyMade,
    RustupSource,
    DebianSource,
}

/// Builds the probe and the main job for `target`. Returns the directory they are in.
pub(crate) fn build(target: &str) -> PathBuf {
    let way = way(target);
    let directory = scratch("matrix").join(format!("{way:?}")).join(target);
    let mut command = match way {
        Way::DebianSource => Command::new(DEBIAN_CARGO),
        _ => Command::new(env::var_os("CARGO").as_deref().unwrap_or(OsStr::new("cargo"))),
    };
    plain(&mut command);
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
        .args(["build", "--release", "--quiet", "--package", "hmalloc-qemu", "--bin", "probe", "--bin", "words"])
        .args(["--target", target, "--target-dir"])
        .arg(&directory)
        // The programs are what is looked at, not `core`: unoptimized, it is built in half the time.
        .args(["--config", "profile.release.lto=false", "--config", "profile.release.codegen-units=16"])
        .args(["--config", "profile.release.opt-level=0"])
        .args(["--config", "profile.release.package.hmalloc.opt-level=3"])
        .args(["--config", "profile.release.package.hmalloc-qemu.opt-level=3"])
        .args(["--config", "profile.release.package.hmalloc-runtime.opt-level=3"])
        .current_dir(repository(""))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", flags)
        .env(linker, linker_path());
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "building for {target} failed ({way:?}):\n{}", text(&output.stderr));
    directory.join(target).join("release")
}

/// Takes away what cargo and nextest set for the tests themselves.
fn plain(command: &mut Command) {
    for variable in [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "LD_LIBRARY_PATH",
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "HMALLOC_PIE",
    ] {
        command.env_remove(variable);
    }
}

fn way(target: &str) -> Way {
    let debian = || [DEBIAN_RUSTC, DEBIAN_CARGO, DEBIAN_SOURCE].iter().all(|path| Path::new(path).exists());
    let ready = || lists(&["target", "list", "--installed"], target);
    let source = || lists(&["component", "list", "--installed"], "rust-src");
    if too_new(target).is_none() && (ready() || (succeeds("rustup", &["target", "add", target]) && ready())) {
        Way::ReadyMade
    } else if source() || (!debian() && succeeds("rustup", &["component", "add", "rust-src"]) && source()) {
        Way::RustupSource
    } else if debian() || (install(&DEBIAN_PACKAGES) && debian()) {
        Way::DebianSource
    } else {
        panic!(
            "Nothing here builds for {target}. Install one of these and run the tests again:\n  \
             rustup target add {target}\n  rustup component add rust-src\n  \
             apt-get install {} (as root; Debian)",
            DEBIAN_PACKAGES.join(" ")
        )
    }
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
pub(crate) fn emulator(name: &str) -> PathBuf {
    packages::program(&[name, &format!("{name}-static")], "qemu-user")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
