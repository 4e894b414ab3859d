//! C++'s operators: in programs that know nothing of hmalloc and are preloaded, and in those that are linked with the archive that
//! defines malloc.

use crate::misuse::{judge, matches, report};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::installed::{Installed, aborted, cases, command, describe, run, succeed};
use support::packages;

const MODERN: &str = "-std=c++17";

/// A program on the library, and what prepares it to be run: preloaded; linked with the shared library; with the archive; with the
/// archive, all static.
fn on_each(installed: &Installed, source: &str, flags: &[&str], judge: impl Fn(&str, &Path, &dyn Fn() -> Command)) {
    packages::program(&["g++"], "g++");
    let (shared, archive) = (installed.shared(), installed.malloc_archive());
    let ways: [(&str, &[&str], Option<&PathBuf>); 4] = [
        ("preloaded", &[], None),
        ("shared", &[], Some(&shared)),
        ("archive", &[], Some(&archive)),
        ("static", &["-static"], Some(&archive)),
    ];
    for (way, more, library) in ways {
        let line = [&["g++", MODERN][..], flags, more].concat();
        let rpath = format!("-Wl,-rpath,{}", installed.prefix().join("lib").display());
        let behind: Vec<&OsStr> = library.iter().map(|path| path.as_os_str()).chain([rpath.as_ref()]).collect();
        let program = installed.build(&format!("{}-{way}", source.replace('.', "-")), &line, source, &behind);
        judge(way, &program, &|| if way == "preloaded" { installed.preloaded(&program) } else { command(&program) });
    }
}

/// Whether a case makes a mistake.
fn is_mistake(name: &str) -> bool {
    name.starts_with("delete_")
}

#[test]
fn operators_keep_their_promises() {
    let installed = Installed::new();
    on_each(&installed, "operators.cc", &[], |way, _, program| {
        for name in cases(Path::new(program().get_program())).iter().filter(|name| !is_mistake(name)) {
            let output = run(program().arg(name));
            assert!(output.status.success() && output.stdout == b"lived on\n", "{way} {name}: {}", describe(&output));
        }
    });
}

/// The control: they are the promises of any C++ library's.
#[test]
fn the_promises_are_those_of_the_cpp_library() {
    let installed = Installed::new();
    let program = installed.build("operators", &["g++", MODERN], "operators.cc", &[]);
    for name in cases(&program).iter().filter(|name| !is_mistake(name)) {
        let output = run(command(&program).arg(name));
        assert!(output.status.success(), "{name}: {}", describe(&output));
    }
}

/// The line that a mistake is to leave, and the end. The second part is that of `judge`, whose programs check their heap, too.
fn is_named(command: &mut Command) -> bool {
    let output = run(command);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let expected = stdout.lines().find_map(|line| line.strip_prefix("expected ")).unwrap_or("(none)");
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let expected = format!("{expected} [program {name}, process *, thread *]");
    aborted(output.status) && stderr.strip_suffix('\n').is_some_and(|line| matches(line, &expected))
}

#[test]
fn a_wrong_delete_is_named() {
    let installed = Installed::new();
    let mut wrong = Vec::new();
    let made = std::cell::Cell::new(0);
    let wrongs = std::cell::RefCell::new(&mut wrong);
    on_each(&installed, "operators.cc", &[], |way, path, program| {
        for name in cases(path).iter().filter(|name| is_mistake(name)) {
            if !is_named(program().arg(name)) {
                wrongs.borrow_mut().push(format!("{way} {name}: {}", describe(&run(program().arg(name)))));
            }
            // Reported, it changes nothing.
            wrongs.borrow_mut().extend(judge(program().arg(name).env("HMALLOC_POLICY", "report"), 2));
            made.set(made.get() + 1);
        }
    });
    report(&wrong, made.get());
}

/// A program replaces some of them: the others call these.
#[test]
fn replaced_operators_are_called_by_the_others() {
    let installed = Installed::new();
    for flags in [&[][..], &["-DARRAYS"], &["-DALIGNED"], &["-DARRAYS", "-DALIGNED"]] {
        on_each(&installed, "replaced.cc", flags, |way, _, program| {
            assert_eq!(succeed(&mut program()), "each came back\n", "{way} {flags:?}");
        });
    }
}

/// Little of a C++ library: what it throws is caught all the same. In the static program nothing of the class is linked.
#[test]
fn the_exception_is_caught_where_hardly_anything_of_a_library_is_linked() {
    let installed = Installed::new();
    for flags in [&[][..], &["-DBASE"]] {
        on_each(&installed, "catches.cc", flags, |way, program, prepared| {
            assert_eq!(succeed(&mut prepared()), "caught\n", "{way} {flags:?}");
            if way == "static" {
                let symbols = succeed(command("nm").arg(program));
                let defined = |name: &str| symbols.lines().any(|line| line.ends_with(name) && !line.contains(" w "));
                assert!(
                    defined(" __cxa_throw") && !defined(" _ZTISt9bad_alloc") && !defined(" _ZSt17__throw_bad_allocv")
                );
            }
        });
    }
}

#[test]
fn without_a_cpp_library_running_out_is_said_in_a_line() {
    let installed = Installed::new();
    packages::program(&["g++"], "g++");
    let archive = installed.malloc_archive();
    let musl = packages::program(&["musl-gcc"], "musl-tools").display().to_string();
    for line in [&["gcc"][..], &["gcc", "-static"], &[&musl, "-static"]] {
        let line = [line, &["-fno-exceptions"]].concat();
        let program = installed.build("without", &line, "without.cc", &[archive.as_os_str()]);
        assert_eq!(succeed(&mut command(&program)), "null\n", "{line:?}");
        let output = run(command(&program).arg("throw"));
        let said = "hmalloc: operator new: no memory for 4611686018427387903 bytes, and no C++ library to throw with\n";
        assert!(aborted(output.status), "{}", describe(&output));
        assert_eq!(String::from_utf8_lossy(&output.stderr), said);
    }
}

/// A C program loads a plugin in C++, whose library comes with it: the exception is that library's.
#[test]
fn a_plugin_catches_what_its_own_library_throws() {
    let installed = Installed::new();
    packages::program(&["g++"], "g++");
    let program = installed.build("late", &["cc"], "late.c", &[]);
    let plugin = installed.build("plugin.so", &["g++", MODERN, "-shared", "-fPIC"], "plugin.cc", &[]);
    // The control: so it is on the C library's malloc.
    assert_eq!(succeed(command(&program).arg(&plugin)), "caught\n");
    assert_eq!(succeed(installed.preloaded(&program).arg(&plugin)), "caught\n");
}
