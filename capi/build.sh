# Builds the two libraries. `install` and `hmalloc-run` read this file, with $here set to this folder.

target=${CARGO_TARGET_DIR:-$here/target}
results=$target/install

cargo_rustc() {
    cargo rustc --quiet --release --lib --manifest-path "$here/Cargo.toml" --target-dir "$target" "$@"
    mkdir -p "$results"
}

# The archive is one object with the functions of hmalloc.h. All other symbols are made local, its own memory functions
# among them: it needs no libc, and does not interfere with one.
build_static() {
    cargo_rustc --crate-type staticlib
    names=$(sed -n 's/^HMALLOC_API .*[ *]\([a-z_]*\)(.*/\1/p' "$here/hmalloc.h")
    roots="-u __fork_handler"
    # musl's hook for forks, and the lock on the break that all copies of the heap share. Both are weak.
    keep="--keep-global-symbol=__fork_handler --keep-global-symbol=hmalloc_program_break"
    for name in $names; do
        roots="$roots -u $name"
        keep="$keep --keep-global-symbol=$name"
    done
    "${LD:-ld}" -r --gc-sections $roots -o "$results/hmalloc.o" "$target/release/libhmalloc_c.a"
    "${OBJCOPY:-objcopy}" --strip-debug $keep "$results/hmalloc.o"
    rm -f "$results/libhmalloc.a"
    "${AR:-ar}" rcs "$results/libhmalloc.a" "$results/hmalloc.o"
}

build_shared() {
    cargo_rustc --features preload --crate-type cdylib
    "${OBJCOPY:-objcopy}" --strip-unneeded "$target/release/libhmalloc_c.so" "$results/libhmalloc.so.$$"
    mv "$results/libhmalloc.so.$$" "$results/libhmalloc.so"
}
