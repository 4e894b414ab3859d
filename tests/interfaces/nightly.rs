//! Rust's own `Allocator`, which nightly compilers have: a program of its own, built by one.

use std::fs;
use support::installed::{command, describe, run};
use support::places::{repository, scratch};
use support::rustup::require_toolchain;

#[test]
fn collections_of_the_standard_library_live_in_a_heap() {
    let package = scratch("nightly");
    fs::create_dir_all(&package).expect("a folder");
    let (source, library) = (repository("tests/interfaces/nightly/program.rs"), repository(""));
    let manifest = format!(
        "[package]\nname = \"collections\"\nedition = \"2024\"\n[[bin]]\nname = \"collections\"\npath = {source:?}\n\
         [workspace]\n[dependencies]\nhmalloc = {{ path = {library:?}, features = [\"allocator-api2\"] }}\n"
    );
    fs::write(package.join("Cargo.toml"), manifest).expect("a manifest");
    fs::copy(repository("Cargo.lock"), package.join("Cargo.lock")).expect("a lockfile");
    let mut cargo = command("cargo");
    cargo.args([&require_toolchain("nightly"), "run", "--quiet", "--target-dir"]).arg(package.join("target"));
    cargo.env("RUSTFLAGS", "--cfg hmalloc_nightly").env_remove("RUSTUP_TOOLCHAIN");
    let output = run(cargo.current_dir(&package));
    assert!(output.status.success(), "{}", describe(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "500000 500000 500000 499999000000\n", "{}", describe(&output));
}
