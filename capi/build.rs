//! Links the shared library against libc and nothing else, under its own name.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let arguments = [
        // Neither start files nor libgcc: only libc, which also fixes the order of initialization.
        "-nostartfiles",
        "-nodefaultlibs",
        "-Wl,--no-as-needed",
        "-lc",
        "-Wl,-soname,libhmalloc.so",
        // The fork handlers and every block live in it, so it can never be unloaded.
        "-Wl,-z,nodelete",
        "-Wl,-z,now",
        "-Wl,-z,defs",
    ];
    for argument in arguments {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}
