//! Small storms of the library's own tests under Miri, which sees data races, and has a store seen late or in another order
//! where the language allows that. Each seed is another schedule, and other such choices. `HMALLOC_TEST_SEEDS` is how many.

use crate::alone;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use support::installed::{command, describe, run};
use support::packages;
use support::places::{repository, scratch};

const TESTS: [&str; 2] = ["threads_hand_blocks_over_while_another_one_looks", "of_two_frees_of_a_block_one_is_told"];

fn has_miri() -> bool {
    let output = Command::new("cargo").args(["+nightly", "miri", "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn storms_by_many_seeds() {
    let toolchain = ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "miri,rust-src"];
    assert!(
        has_miri() || packages::succeeds("rustup", &toolchain) && has_miri(),
        "Miri is missing. Install it (rustup toolchain install nightly --component miri,rust-src) and run the tests again"
    );
    let seeds: u32 = std::env::var("HMALLOC_TEST_SEEDS").map_or(2, |text| text.parse().expect("a number"));
    let flags = format!("-Zmiri-permissive-provenance -Zmiri-ignore-leaks -Zmiri-many-seeds=0..{seeds}");
    let package = scratch("sanitized/interpreted");
    fs::create_dir_all(&package).expect("a folder");
    let manifest = alone() + "[dev-dependencies]\nlibc = \"0.2\"\n";
    fs::write(package.join("Cargo.toml"), manifest).expect("a manifest");
    for name in ["src", "README.md"] {
        let _ = fs::remove_file(package.join(name));
        symlink(repository(name), package.join(name)).expect("a link");
    }
    fs::copy(repository("Cargo.lock"), package.join("Cargo.lock")).expect("a lockfile");
    let mut cargo = command("cargo");
    cargo.args(["+nightly", "miri", "test", "--quiet", "--lib", "--target-dir"]).arg(scratch("miri")).arg("--");
    cargo.args(TESTS).env("MIRIFLAGS", flags).env_remove("RUSTUP_TOOLCHAIN");
    let output = run(cargo.current_dir(&package));
    let said = String::from_utf8_lossy(&output.stdout);
    // Seeds run beside each other, and what they say is mixed.
    let passed = said.matches("2 passed; 0 failed").count();
    assert!(output.status.success() && passed == seeds as usize, "{passed} of {seeds}\n{}", describe(&output));
}
