//! What is installed: the header in every language, the examples, what the libraries export and need.

use object::elf;
use object::read::elf::{Dyn, ElfFile64, FileHeader};
use object::{Endianness, Object, ObjectSymbol};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use support::installed::{
    FAMILY, Installed, LEAVING, OPERATORS, STANDARD, aborted, capi, command, describe, run, succeed,
};

const C: [&str; 6] = ["c89", "c90", "c99", "c11", "c17", "c2x"];
const CPP: [&str; 7] = ["c++98", "c++03", "c++11", "c++14", "c++17", "c++20", "c++23"];

#[test]
fn the_header_compiles_in_every_standard() {
    let installed = Installed::new();
    let include = installed.prefix().join("include");
    let source = installed.directory.path().join("source");
    // Every function is used as what it is documented to be; twice the header is harmless.
    let text = "#include <hmalloc.h>\n#include <hmalloc.h>\n\
        int use(void) {\n\
        char *a = (char *)hmalloc(1), *b = (char *)hcalloc(1, 1), *c = (char *)haligned_alloc(64, 1);\n\
        a = (char *)hrealloc(a, 2); b = (char *)hreallocarray(b, 2, 2);\n\
        hfree(a); hfree(b); hfree(c);\n\
        return (int)husable_size(0) + hmalloc_stats_print(1) + hmalloc_report(1) + hmalloc_check() + (int)hmalloc_trim(0)\n\
        + hmalloc_set_policy(HMALLOC_IGNORE + HMALLOC_REPORT + HMALLOC_ABORT);\n}\n";
    fs::write(&source, text).expect("a source file");
    let flags = ["-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-Wstrict-prototypes", "-fsyntax-only"];
    for (language, standards) in [("c", &C[..]), ("c++", &CPP[..])] {
        for standard in standards {
            let mut compile = command(if language == "c" { "cc" } else { "c++" });
            compile.args(["-x", language]).arg(format!("-std={standard}")).arg("-I").arg(&include);
            compile.args(flags.iter().filter(|flag| language == "c" || **flag != "-Wstrict-prototypes"));
            succeed(compile.arg(&source));
        }
    }
    // The control: the compiler does look.
    fs::write(&source, format!("{text}int other(void) {{ return hmalloc(); }}\n")).expect("a source file");
    assert!(!run(command("cc").args(["-x", "c", "-fsyntax-only", "-I"]).arg(&include).arg(&source)).status.success());
}

/// The `cc` lines of `capi/README.md`, which leave their programs in the test's folder.
fn build_examples(installed: &Installed) {
    let readme = fs::read_to_string(capi().join("README.md")).expect("capi/README.md");
    let lines: Vec<&str> = readme.lines().filter(|line| line.starts_with("cc ")).collect();
    assert_eq!(lines.len(), 5);
    std::os::unix::fs::symlink(capi().join("examples"), installed.directory.path().join("examples")).expect("a link");
    for line in lines {
        let mut shell = command("sh");
        succeed(shell.args(["-c", line]).env("PREFIX", installed.prefix()).current_dir(&installed.directory));
    }
}

#[test]
fn the_examples_build_with_one_line_and_run() {
    let installed = Installed::new();
    build_examples(&installed);
    for name in ["words", "words-static-heap", "words-static", "words-malloc"] {
        let output = run(command(installed.directory.path().join(name)).args(["to", "be", "freed", "twice"]));
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}: {}", describe(&output));
        assert!(stdout.starts_with("to be freed twice\n17 bytes in a block of 32\nhmalloc: process "), "{stdout}");
        assert!(stdout.ends_with("; sound\n"), "{stdout}");
        assert!(stderr.starts_with("hmalloc: hfree: 0x") && stderr.contains(" is already free: "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1);
    }
    let output = run(&mut command(installed.directory.path().join("bare")));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "bare: {}", describe(&output));
    let [full, empty] = stdout.lines().collect::<Vec<_>>()[..] else { panic!("{stdout}") };
    assert!(full.contains(" 100000 blocks in use, 1600000 bytes;") && empty.contains(" 0 blocks in use, 0 bytes;"));
}

/// The names of the symbols that an object file defines for others, and of those it needs.
fn symbols<'a>(symbols: impl Iterator<Item = impl ObjectSymbol<'a>>) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut defined, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for symbol in symbols {
        let name = symbol.name().expect("a name").to_owned();
        if symbol.is_undefined() {
            // A weak one is null if it is not defined.
            needed.extend((!symbol.is_weak() && !name.is_empty()).then_some(name));
        } else if symbol.is_global() {
            defined.insert(name);
        }
    }
    (defined, needed)
}

fn set<'a>(names: impl IntoIterator<Item = &'a &'static str>) -> BTreeSet<String> {
    names.into_iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn the_shared_library_exports_what_is_documented_and_needs_only_libc() {
    let installed = Installed::new();
    let bytes = fs::read(installed.shared()).expect("the library");
    let file = ElfFile64::<Endianness>::parse(&*bytes).expect("an ELF file");
    let (defined, needed) = symbols(file.dynamic_symbols());
    assert_eq!(defined, set(FAMILY.iter().chain(&STANDARD).chain(&OPERATORS).chain(&LEAVING)));
    let of_libc = set(&["memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen"]);
    assert!(needed.is_subset(&of_libc), "{needed:?}");
    let (endian, header) = (file.endian(), file.elf_header());
    let sections = header.sections(endian, &*bytes).expect("sections");
    let (entries, strings) = sections.dynamic(endian, &*bytes).expect("readable").expect("a dynamic section");
    let strings = sections.strings(endian, &*bytes, strings).expect("its strings");
    let libraries: Vec<_> = entries
        .iter()
        .filter(|entry| entry.tag(endian) == elf::DT_NEEDED)
        .map(|entry| String::from_utf8_lossy(entry.string(endian, strings).expect("a name")))
        .collect();
    assert_eq!(libraries, ["libc.so.6"]);
    let named = entries.iter().find(|entry| entry.tag(endian) == elf::DT_SONAME).expect("a name of its own");
    assert_eq!(named.string(endian, strings).expect("a name"), b"libhmalloc.so.0");
}

#[test]
fn the_archive_defines_its_family_and_needs_nothing() {
    let installed = Installed::new();
    let bytes = only_member(&installed, &installed.archive());
    let file = ElfFile64::<Endianness>::parse(&*bytes).expect("an ELF file");
    let (defined, needed) = symbols(file.symbols());
    // The two that every copy of the heap defines alike are weak.
    assert_eq!(defined, set(FAMILY.iter().chain(&["__fork_handler", "hmalloc_program_break"])));
    assert_eq!(needed, BTreeSet::new());
}

/// The bytes of the one object in an archive: a linker takes all of it or nothing.
fn only_member(installed: &Installed, archive: &Path) -> Vec<u8> {
    assert_eq!(succeed(command("ar").arg("t").arg(archive)), "hmalloc.o\n");
    succeed(command("ar").arg("x").arg(archive).current_dir(&installed.directory));
    fs::read(installed.directory.path().join("hmalloc.o")).expect("the member")
}

#[test]
fn the_malloc_archive_defines_what_the_shared_library_does() {
    let installed = Installed::new();
    let bytes = only_member(&installed, &installed.malloc_archive());
    let file = ElfFile64::<Endianness>::parse(&*bytes).expect("an ELF file");
    let (defined, needed) = symbols(file.symbols());
    let all = FAMILY.iter().chain(&STANDARD).chain(&OPERATORS);
    assert_eq!(defined, set(all.chain(&["__fork_handler", "hmalloc_program_break"])));
    let of_libc = set(&["memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen", "getauxval", "fwrite"]);
    assert!(needed.is_subset(&of_libc) && needed.contains("getauxval") && needed.contains("fwrite"), "{needed:?}");
    // A program's own operators come before these.
    let weak = file.symbols().filter(|symbol| symbol.is_weak() && symbol.is_definition());
    let weak: BTreeSet<_> = weak.filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect();
    assert_eq!(weak, set(OPERATORS.iter().chain(&["__fork_handler", "hmalloc_program_break"])));
}

#[test]
fn the_header_declares_the_family() {
    let header = fs::read_to_string(capi().join("hmalloc.h")).expect("the header");
    let declared = header.lines().filter_map(|line| line.strip_prefix("HMALLOC_API ")?.split_once('('));
    let names: BTreeSet<_> =
        declared.filter_map(|(head, _)| head.rsplit([' ', '*']).next()).map(str::to_owned).collect();
    assert_eq!(names, set(&FAMILY));
}

/// The archive is for programs that keep their own malloc: both heaps work side by side on one break.
#[test]
fn the_archive_leaves_malloc_alone() {
    let installed = Installed::new();
    let source = installed.directory.path().join("both.c");
    let text = "#include <hmalloc.h>\n#include <stdlib.h>\n#include <string.h>\n\
        int main(int argc, char **argv) {\n\
        static char *ours[500], *theirs[500]; int i; (void)argv;\n\
        for (i = 0; i < 500; i++) {\n\
        if (!(ours[i] = hmalloc(i * 40 + 1)) || !(theirs[i] = malloc(i * 40 + 1))) return 1;\n\
        memset(ours[i], i, i * 40 + 1); memset(theirs[i], ~i, i * 40 + 1); }\n\
        for (i = 0; i < 500; i++) if (ours[i][i * 40] != (char)i || theirs[i][i * 40] != (char)~i) return 2;\n\
        for (i = 0; i < 500; i += 2) { hfree(ours[i]); free(theirs[i]); }\n\
        if (argc > 1) hfree(theirs[1]);\n\
        return hmalloc_check(); }\n";
    fs::write(&source, text).expect("a source file");
    for flags in [&[][..], &["-static"]] {
        let program = installed.directory.path().join("both");
        let mut compile = command("cc");
        compile.args(flags).arg("-I").arg(installed.prefix().join("include")).arg(&source).arg(installed.archive());
        succeed(compile.arg("-o").arg(&program));
        succeed(&mut command(&program));
        abort_on_foreign_block(&program);
    }
}

fn abort_on_foreign_block(program: &Path) {
    // The environment has no say in a program that was linked with the archive.
    let output = run(command(program).arg("x").env("HMALLOC_POLICY", "ignore"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(aborted(output.status) && stderr.starts_with("hmalloc: hfree: 0x"), "{}", describe(&output));
}

/// The names that follow `Sysno::` in the sources under a folder.
fn system_calls(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            system_calls(&entry, names);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry).expect("a source file");
            let rests = text.split("Sysno::").skip(1);
            names.extend(
                rests
                    .filter_map(|rest| rest.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next())
                    .map(str::to_owned),
            );
        }
    }
}

/// It is the list for whoever writes a sandbox.
#[test]
fn the_readme_lists_every_system_call() {
    let mut called = BTreeSet::new();
    for folder in [capi().join("src"), capi().join("../src")] {
        system_calls(&folder, &mut called);
    }
    let readme = fs::read_to_string(capi().join("README.md")).expect("capi/README.md");
    let (_, section) = readme.split_once("\n## System calls\n").expect("the section");
    let listed: BTreeSet<_> = section
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .filter_map(|line| line.split('|').nth(2))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert!(called.contains("write"));
    let other = set(&["getauxval"]);
    assert_eq!(listed.difference(&other).cloned().collect::<BTreeSet<_>>(), called);
}
