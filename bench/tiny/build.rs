//! Links the program without a libc: static, at a fixed address.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,-e,_start"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
