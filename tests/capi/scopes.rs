//! Whose `malloc` a library gets: programs that wrap the allocator, and plugins that are loaded so that they see their own
//! libraries before the program's.

use std::fs;
use std::path::PathBuf;
use support::installed::{Installed, aborted, command, describe, run, succeed};

fn compile(installed: &Installed, name: &str, text: &str, flags: &[&str]) -> PathBuf {
    let source = installed.directory.path().join(format!("{name}.c"));
    fs::write(&source, text).expect("a source file");
    let output = installed.directory.path().join(name);
    let mut compile = command("cc");
    compile.args(["-w", "-O1", "-fno-builtin"]).arg(&source).arg("-o").arg(&output).args(flags);
    succeed(&mut compile);
    output
}

/// It has the real allocator from glibc's other names, for some of the family or for all of it.
const WRAPPER: &str = "#include <stddef.h>\n\
    extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);\n\
    extern void __libc_free(void *); int wrapped;\n\
    void *malloc(size_t size) { wrapped++; return __libc_malloc(size); }\n\
    void *calloc(size_t count, size_t size) { return __libc_calloc(count, size); }\n\
    #ifdef ALL\n\
    void *realloc(void *block, size_t size) { return __libc_realloc(block, size); }\n\
    void free(void *block) { __libc_free(block); }\n\
    #endif\n";
const WRAPPED: &str = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nextern int wrapped;\n\
    int main(int argc, char **argv) { char *block = malloc(100), *other = strdup(\"text\"), *zeroed = calloc(5, 5);\n\
    FILE *file = fopen(\"/dev/null\", \"r\"); fclose(file); block = realloc(block, 100000);\n\
    free(zeroed); free(other); free(block); if (argc > 1) free(block); return wrapped < 2; }\n";

#[test]
fn a_program_that_wraps_malloc_around_glibcs_own_name_is_right() {
    let installed = Installed::new();
    for flags in [&[][..], &["-DALL"]] {
        let whole =
            compile(&installed, "whole", &format!("{WRAPPER}{WRAPPED}").replacen("extern int wrapped;", "", 1), flags);
        let library = compile(&installed, "wrapper.so", WRAPPER, &[flags, &["-shared", "-fPIC"]].concat());
        let linked = compile(&installed, "linked", WRAPPED, &[library.to_str().expect("a path")]);
        for program in [&whole, &linked] {
            // As glibc's own malloc would have it, and the wrapper is what the program calls.
            succeed(&mut command(program));
            let output = run(installed.preloaded(program).env("HMALLOC_STATS", "1"));
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() || program == &linked, "{flags:?}: {}", describe(&output));
            assert!(
                stderr.starts_with("hmalloc: process ") && stderr.ends_with("; sound\n"),
                "{flags:?}: {}",
                describe(&output)
            );
            // The control: a wrong free is reported through the wrapper, too.
            assert!(aborted(run(installed.preloaded(program).arg("twice")).status));
        }
    }
}

const PLUGIN: &str = "#include <stdlib.h>\n\
    void *make(void) { return malloc(100); }\nvoid end(void *block) { free(block); }\n\
    int own(void) { int i; for (i = 0; i < 1000; i++) { char *volatile b = malloc(i); b = realloc(b, i + 1); free(b); } return 0; }\n";
const HOST: &str = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\
    int main(int argc, char **argv) { void *plugin = dlopen(argv[1], RTLD_NOW | (strstr(argv[2], \"deep\") ? RTLD_DEEPBIND : 0));\n\
    void *(*make)(void); void (*end)(void *); int (*own)(void);\n\
    if (!plugin) { puts(dlerror()); return 9; }\n\
    make = dlsym(plugin, \"make\"); end = dlsym(plugin, \"end\"); own = dlsym(plugin, \"own\");\n\
    if (strstr(argv[2], \"own\")) { own(); end(make()); }\n\
    if (strstr(argv[2], \"crosses\")) free(make());\n\
    puts(\"lived on\"); return 0; }\n";

/// A plugin with RTLD_DEEPBIND gets libc's malloc, past the preloaded library. What it keeps to itself is fine;
/// what it hands over is no block here, and is reported. One that is linked with the library is on this heap.
#[test]
fn a_plugin_with_deep_binding_has_the_heap_that_it_is_linked_with() {
    let installed = Installed::new();
    let host = compile(&installed, "host", HOST, &["-ldl"]);
    let plugin = compile(&installed, "plugin.so", PLUGIN, &["-shared", "-fPIC"]);
    let folder = format!("-L{}", installed.prefix().join("lib").display());
    let linked =
        compile(&installed, "linked.so", PLUGIN, &["-shared", "-fPIC", "-Wl,--no-as-needed", &folder, "-lhmalloc"]);
    let lives = |plugin: &PathBuf, what: &str| {
        let output = run(installed.preloaded(&host).arg(plugin).arg(what).env("HMALLOC_CHECK", "1"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        let named = stderr.starts_with("hmalloc: free: 0x") && stderr.contains(" is ") && stderr.lines().count() == 1;
        let lived = output.status.success() && output.stdout == b"lived on\n" && stderr.is_empty();
        assert!(lived || (aborted(output.status) && named), "{what}: {}", describe(&output));
        lived
    };
    for what in ["own", "crosses", "deep own"] {
        assert!(lives(&plugin, what), "{what}");
    }
    assert!(!lives(&plugin, "deep crosses"));
    for what in ["own", "crosses", "deep own", "deep crosses"] {
        assert!(lives(&linked, what), "linked: {what}");
    }
}
