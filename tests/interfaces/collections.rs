//! The tests of `tests/collections`, a package of its own, whose dependencies need `alloc`.

use support::installed::{command, describe, run};
use support::places::{repository, scratch};

/// How many tests there are.
const TESTS: usize = 9;

#[test]
fn collections_of_other_crates_live_in_heaps() {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--quiet", "--manifest-path"]).arg(repository("tests/collections/Cargo.toml"));
    let output = run(cargo.env("CARGO_TARGET_DIR", scratch("collections")));
    let passed =
        String::from_utf8_lossy(&output.stdout).contains(&format!("test result: ok. {TESTS} passed; 0 failed"));
    assert!(output.status.success() && passed, "{}", describe(&output));
}
