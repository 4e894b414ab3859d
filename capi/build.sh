# Builds the libraries. `install`, `uninstall` and `hmalloc-run` read this file, with $here set to this folder.
#
# CC, LD, OBJCOPY, AR, AS and NM name the tools to use instead of cc and binutils' own; LDFLAGS is for the shared library.

target=${CARGO_TARGET_DIR:-$here/target}
results=$target/install
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/Cargo.toml")
# Programs are linked with this name: it changes when they would have to be linked anew.
# Raised by hand, see RELEASING.md.
soname=libhmalloc.so.0

# Says which tool is missing before minutes go into a build that cannot end.
tools() {
    for tool in cargo "${CC:-cc}" "${LD:-ld}" "${OBJCOPY:-objcopy}" "${AR:-ar}" "${AS:-as}" "${NM:-nm}"; do
        if ! command -v "$tool" >/dev/null; then
            echo "capi: $tool is missing. Install Rust (https://rustup.rs), a C compiler and binutils (Debian: gcc, libc6-dev)" >&2
            exit 2
        fi
    done
}

# The archive of all that Rust has compiled, $compiled, in folder $1 of the target directory. Each kind has a folder of its own, so
# that two builds at a time do not disturb each other. No path of this machine gets into it, and nothing that
# Cargo.lock does not name.
compile() {
    tools
    compiled=$target/$1/release/libhmalloc_c.a
    unit=$(printf '\037')
    remap="--remap-path-prefix=$(dirname "$here")=hmalloc"
    remap="$remap$unit--remap-path-prefix=${CARGO_HOME:-${HOME-}/.cargo}=cargo"
    CARGO_ENCODED_RUSTFLAGS=$remap cargo rustc --quiet --locked --release --lib --crate-type staticlib \
        --manifest-path "$here/Cargo.toml" --target-dir "$target/$1" ${2-}
    mkdir -p "$results/$$"
}

# What is made on the way lies in a folder of this process; results are put in place as a whole.
finish() {
    mv "$results/$$/$1" "$results/$1"
}

# Makes one object, $1, of what the functions named in $2 need. All other symbols are made local, but for two weak ones: musl's
# hook for forks, and the lock on the break that all copies of the heap share. What only code that was left out refers to is
# not asked of a libc: ld keeps such names, and no longer as weak ones.
join() {
    roots="-u __fork_handler"
    keep="--keep-global-symbol=__fork_handler --keep-global-symbol=hmalloc_program_break"
    for name in $2; do
        roots="$roots -u $name"
        keep="$keep --keep-global-symbol=$name"
    done
    "${LD:-ld}" -r --gc-sections $roots -o "$1" "$compiled"
    for name in $("${NM:-nm}" --undefined-only --format=posix "$1" | cut -d ' ' -f 1); do
        keep="$keep --strip-unneeded-symbol=$name"
    done
    "${OBJCOPY:-objcopy}" --strip-debug --keep-section=.debug_gdb_scripts $keep "$1"
}

# Makes archive $1 of the object hmalloc.o.
archive() {
    rm -f "$results/$$/$1"
    "${AR:-ar}" rcsD "$results/$$/$1" "$results/$$/hmalloc.o"
    finish "$1"
}

# Removes what was made on the way.
tidy() {
    rm -rf "$results/$$"
}

declared() {
    sed -n 's/^HMALLOC_API .*[ *]\([a-z_]*\)(.*/\1/p' "$here/hmalloc.h"
}

# The names that the libraries define beside those of hmalloc.h. C++'s are defined for some architectures (src/operators.rs).
standard() {
    sed '/^#/d' "$here/names" >"$results/$$/names"
    "${NM:-nm}" --defined-only --extern-only --format=posix "$compiled" 2>/dev/null |
        cut -d ' ' -f 1 | grep -F -x -f "$results/$$/names" | sort -u
}

# libhmalloc.a: the functions of hmalloc.h. With memory functions of its own, among the local symbols, it needs no libc, and does
# not interfere with one.
build_static() {
    compile plain
    join "$results/$$/hmalloc.o" "$(declared)"
    archive libhmalloc.a
}

# The object that also defines malloc, for the other two libraries.
build_object() {
    compile malloc '--features preload'
    names=$(standard)
    if [ -z "$names" ]; then
        echo "capi: ${NM:-nm} finds no functions in $compiled" >&2
        exit 1
    fi
    join "$results/$$/malloc.o" "$(declared) $names"
}

# libhmalloc-malloc.a, after build_shared: one object, so that a program gets all of it or nothing. A program's own operators come
# before its, which are weak. Of libc it brings in what weak references do not: `getauxval`, which says whether the environment may
# be read, and `fwrite` for `malloc_info`. It leaves the ends of a process alone, and does without `dlopen`, against which linkers warn in a static program.
build_malloc() {
    weak="--redefine-sym dlopen=hmalloc_no_dlopen --redefine-sym dlsym=hmalloc_no_dlsym --localize-symbol=_exit --localize-symbol=_Exit"
    for name in $names; do
        case $name in _Z*) weak="$weak --weaken-symbol=$name" ;; esac
    done
    printf '.section .data.rel.ro.hmalloc_needs, "aw"\n.dc.a getauxval, fwrite\n.section .note.GNU-stack, ""\n' |
        "${AS:-as}" -o "$results/$$/needs.o"
    "${LD:-ld}" -r -o "$results/$$/hmalloc.o" "$results/$$/malloc.o" "$results/$$/needs.o"
    "${OBJCOPY:-objcopy}" $weak "$results/$$/hmalloc.o"
    archive libhmalloc-malloc.a
}

# What `hmalloc-run --timeline` needs: the recorder, $recorder, which is preloaded, and the program that makes the page, $maker.
build_timeline() {
    for package in bench/recorder timeline; do
        cargo build --quiet --locked --release --config profile.release.lto=false \
            --manifest-path "$here/../$package/Cargo.toml" --target-dir "$target/timeline"
    done
    recorder=$target/timeline/release/libhmalloc_recorder.so
    maker=$target/timeline/release/hmalloc-timeline
}

# libhmalloc.so: without start files and libgcc it needs libc alone, which is therefore initialized first. It is never unloaded:
# the fork handlers are in it, and its blocks may be in use.
build_shared() {
    build_object
    "${CC:-cc}" -shared -nostartfiles -nodefaultlibs -o "$results/$$/libhmalloc.so" "$results/$$/malloc.o" \
        -Wl,--no-as-needed -lc -Wl,-soname,"$soname" -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now -Wl,-z,defs -Wl,-z,noexecstack \
        -Wl,--eh-frame-hdr -Wl,--gc-sections -Wl,-O1 ${LDFLAGS-}
    "${OBJCOPY:-objcopy}" --strip-unneeded --keep-section=.debug_gdb_scripts "$results/$$/libhmalloc.so"
    finish libhmalloc.so
}
