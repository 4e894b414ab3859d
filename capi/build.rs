//! Links the shared library with libc and nothing else, and names it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let arguments = [
        // No start files and no libgcc: only libc, which is therefore initialized first.
        "-nostartfiles",
        "-nodefaultlibs",
        "-Wl,--no-as-needed",
        "-lc",
        "-Wl,-soname,libhmalloc.so",
        // It is never unloaded: the fork handlers are in it, and its blocks may be in use.
        "-Wl,-z,nodelete",
        "-Wl,-z,now",
        "-Wl,-z,defs",
    ];
    for argument in arguments {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}
