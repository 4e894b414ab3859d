//! Only a program's own build script can say how the program is linked. A target without an operating system needs no words.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,-e,_start"] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}
