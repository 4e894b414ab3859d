//! Links the programs without a libc: static, at a fixed address; or static and position-independent (x86_64 only) if
//! the environment has `HMALLOC_PIE=1`. A dependency cannot do this, so each package of such programs does.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=HMALLOC_PIE");
    let pie = env::var("HMALLOC_PIE").is_ok_and(|value| value == "1");
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    assert!(!pie || architecture == "x86_64", "HMALLOC_PIE=1: only x86_64 programs relocate themselves");
    // The entry is named because linkers expect other names on some architectures.
    let arguments: &[&str] = match (linker_is_a_compiler(), pie) {
        (true, false) => &["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,-e,_start"],
        (true, true) => &["-nostartfiles", "-nostdlib", "-static-pie", "-Wl,-e,_start"],
        (false, false) => &["-nostdlib", "-static", "-no-pie", "-e", "_start"],
        (false, true) => &["-nostdlib", "-static", "-pie", "--no-dynamic-linker", "-ztext", "-e", "_start"],
    };
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

/// Whether rustc links through a C compiler. It does unless the target is configured for a plain linker (`rust-lld`,
/// `ld.lld`).
fn linker_is_a_compiler() -> bool {
    let Ok(linker) = env::var("RUSTC_LINKER") else { return true };
    let name = Path::new(&linker).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    !name.contains("ld")
}
