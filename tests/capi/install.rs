//! What is installed where, how programs are built with it, and that it can be removed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::installed::{Installed, capi, command, describe, run, succeed};
use support::packages;
use support::places::{repository, scratch};
use tempfile::TempDir;

/// Everything below a folder that is not one.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder").map(|entry| entry.expect("an entry")) {
            let path = entry.path();
            if entry.file_type().expect("its type").is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).expect("below it").display().to_string());
            }
        }
    }
    found
}

const INSTALLED: [&str; 14] = [
    "bin/hmalloc-run",
    "include/hmalloc.h",
    "LIB/libhmalloc.a",
    "LIB/libhmalloc-malloc.a",
    "LIB/libhmalloc.so",
    "LIB/libhmalloc.so.0",
    "LIB/libhmalloc.so.0.1.0",
    "LIB/pkgconfig/hmalloc.pc",
    "LIB/pkgconfig/hmalloc-malloc.pc",
    "LIB/pkgconfig/hmalloc-static.pc",
    "share/doc/hmalloc/LICENSE-APACHE",
    "share/doc/hmalloc/LICENSE-MIT",
    "share/doc/hmalloc/LICENSE-syscalls",
    "share/doc/hmalloc/README.md",
];

fn expected(lib: &str) -> BTreeSet<String> {
    INSTALLED.iter().map(|path| path.replace("LIB", lib)).collect()
}

/// As a packager does it: below DESTDIR, with the libraries where the architecture has its own.
#[test]
fn it_is_installed_where_a_packager_says_and_removed_again() {
    let installed = Installed::new();
    assert_eq!(files(&installed.prefix()), expected("lib"));
    let stage = installed.directory.path().join("stage");
    let lib = "/usr/lib/x86_64-linux-gnu";
    let act = |script: &str| {
        let _turn = Installed::turn();
        let mut act = command(capi().join(script));
        succeed(act.arg("/usr").env("DESTDIR", &stage).env("LIBDIR", lib));
    };
    act("install");
    assert_eq!(files(&stage.join("usr")), expected("lib/x86_64-linux-gnu"));
    // What another package has there stays.
    fs::write(stage.join("usr/include/other.h"), "").expect("a file");
    fs::write(stage.join(&lib[1..]).join("libhmalloc.so.0.0.9"), "").expect("a file");
    let pc = fs::read_to_string(stage.join(&lib[1..]).join("pkgconfig/hmalloc.pc")).expect("hmalloc.pc");
    assert!(
        pc.starts_with("prefix=/usr\nlibdir=${prefix}/lib/x86_64-linux-gnu\nincludedir=${prefix}/include\n"),
        "{pc}"
    );
    let script = stage.join("usr/bin/hmalloc-run");
    assert!(succeed(command(script).arg("true").env("HMALLOC_STATS", "1")).is_empty());
    act("uninstall");
    assert_eq!(files(&stage), BTreeSet::from(["usr/include/other.h".to_owned()]));
}

#[test]
fn install_refuses_to_guess_a_place() {
    for script in ["install", "uninstall"] {
        for arguments in [&[][..], &["--help"], &["/usr", "/usr"]] {
            let output = run(command(capi().join(script)).args(arguments));
            assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        }
        let output = run(command(capi().join(script)).arg("/usr").env("LIBDIR", "/opt/lib"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && said.contains("LIBDIR is /opt/lib, which is not under /usr"),
            "{said}"
        );
    }
}

/// What a file for pkg-config cannot express is refused, before anything is built; and so is a build without a tool.
#[test]
fn odd_prefixes_and_missing_tools_are_refused_in_words() {
    let refused = |command: &mut Command, said: &str| {
        let output = run(command);
        let right = output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains(said);
        assert!(right, "{said}: {}", describe(&output));
    };
    let folder = TempDir::new().expect("a folder");
    for odd in ["a&b", "a|b", "a'b", "a\\b", "a\nb", "$a"] {
        let mut install = command(capi().join("install"));
        refused(install.arg(folder.path().join(odd)), "must not contain");
    }
    let mut install = command(capi().join("install"));
    refused(install.arg(folder.path().join("a")).env("CC", "no-compiler"), "no-compiler is missing");
    assert!(files(folder.path()).is_empty(), "nothing was installed");
}

#[test]
fn a_prefix_may_have_blanks() {
    let installed = Installed::new();
    let prefix = installed.directory.path().join("two words");
    let turn = Installed::turn();
    succeed(command(capi().join("install")).arg(&prefix));
    drop(turn);
    let mut ask = command(packages::program(&["pkg-config", "pkgconf"], "pkg-config"));
    ask.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).args(["--cflags", "--libs", "hmalloc-static"]);
    let flags = succeed(&mut ask);
    let script = format!("cc '{}' {} -o words", capi().join("examples/words.c").display(), flags.trim());
    succeed(command("sh").args(["-c", &script]).current_dir(&installed.directory));
}

/// The libraries are those names of one file, which is also what a program asks for.
#[test]
fn the_shared_library_has_a_version() {
    let installed = Installed::new();
    let lib = installed.prefix().join("lib");
    let leads = |name: &str| fs::read_link(lib.join(name)).expect("a link").display().to_string();
    assert_eq!([leads("libhmalloc.so"), leads("libhmalloc.so.0")], ["libhmalloc.so.0", "libhmalloc.so.0.1.0"]);
    let source = capi().join("examples/words.c");
    let program = installed.directory.path().join("words");
    let mut compile = command("cc");
    compile.arg("-I").arg(installed.prefix().join("include")).arg(source).arg("-L").arg(&lib).arg("-lhmalloc");
    succeed(compile.arg("-o").arg(&program));
    let needed = succeed(command("readelf").arg("-d").arg(&program));
    assert!(needed.contains("Shared library: [libhmalloc.so.0]"), "{needed}");
    let version = fs::read_to_string(capi().join("Cargo.toml")).expect("a manifest");
    assert!(version.contains("version = \"0.1.0\""), "the version in this file's names is the package's");
}

fn pkg_config(installed: &Installed) -> Command {
    let mut ask = command(packages::program(&["pkg-config", "pkgconf"], "pkg-config"));
    ask.env("PKG_CONFIG_PATH", installed.prefix().join("lib/pkgconfig"));
    ask
}

/// Each is enough to build with, and the program has the heap that its description says.
#[test]
fn pkg_config_describes_all_three() {
    let installed = Installed::new();
    let source = installed.directory.path().join("both.c");
    // 1 if malloc is this heap, too.
    let text = "#include <hmalloc.h>\n#include <stdlib.h>\n\
        int main(void) { void *block = malloc(100); hmalloc_set_policy(HMALLOC_IGNORE);\n\
        hfree(hmalloc(10)); return husable_size(block) > 0 ? 1 : 0; }\n";
    fs::write(&source, text).expect("a source file");
    let ways = [
        ("hmalloc", "", 1),
        ("hmalloc", "--static", 0),
        ("hmalloc-static", "", 0),
        ("hmalloc-static", "--static", 0),
        ("hmalloc-malloc", "", 1),
        ("hmalloc-malloc", "--static", 1),
    ];
    for (name, flag, status) in ways {
        assert_eq!(succeed(pkg_config(&installed).args(["--modversion", name])), "0.1.0\n");
        let flags = succeed(
            pkg_config(&installed).args(["--cflags", "--libs", name]).args(Some(flag).filter(|f| !f.is_empty())),
        );
        let program = installed.directory.path().join("both");
        let mut compile = command("cc");
        compile.args(["-w", "-fno-builtin"]).args(Some("-static").filter(|_| !flag.is_empty())).arg(&source);
        succeed(compile.args(flags.split_whitespace()).arg("-o").arg(&program));
        let output = run(command(&program).env("LD_LIBRARY_PATH", installed.prefix().join("lib")));
        assert_eq!(output.status.code(), Some(status), "{name} {flag}: {}", describe(&output));
    }
}

/// The lines of `capi/README.md` behind a heading in a fenced block of one language.
fn snippet(language: &str) -> String {
    let readme = fs::read_to_string(capi().join("README.md")).expect("capi/README.md");
    let (_, rest) = readme.split_once(&format!("\n```{language}\n")).expect("a block in that language");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// A project of a user's, which `words.c` is copied to.
fn project(installed: &Installed, file: &str, before: &str, language: &str) -> PathBuf {
    let folder = installed.directory.path().join(language);
    fs::create_dir(&folder).expect("a folder");
    fs::copy(capi().join("examples/words.c"), folder.join("words.c")).expect("a copy");
    let lines = snippet(language);
    assert_eq!(lines.lines().count(), 3, "{lines}");
    fs::write(folder.join(file), format!("{before}{lines}")).expect("a file");
    folder
}

fn builds_and_runs(installed: &Installed, folder: &Path, steps: &[&[&str]]) {
    for step in steps {
        let mut act = command(step[0]);
        act.args(&step[1..]).current_dir(folder).env("PKG_CONFIG_PATH", installed.prefix().join("lib/pkgconfig"));
        succeed(&mut act);
    }
    let output =
        run(command(folder.join("build/words")).arg("built").env("LD_LIBRARY_PATH", installed.prefix().join("lib")));
    assert!(output.status.success() && output.stdout.starts_with(b"built\n"), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is already free"), "{}", describe(&output));
}

#[test]
fn cmake_finds_it_with_three_lines() {
    let installed = Installed::new();
    packages::program(&["cmake"], "cmake");
    packages::program(&["make"], "make");
    packages::program(&["pkg-config", "pkgconf"], "pkg-config");
    let before = "cmake_minimum_required(VERSION 3.16)\nproject(words C)\nadd_executable(words words.c)\n";
    let folder = project(&installed, "CMakeLists.txt", before, "cmake");
    builds_and_runs(&installed, &folder, &[&["cmake", "-S", ".", "-B", "build"], &["cmake", "--build", "build"]]);
}

#[test]
fn meson_finds_it_with_three_lines() {
    let installed = Installed::new();
    packages::program(&["meson"], "meson");
    packages::program(&["ninja"], "ninja-build");
    packages::program(&["pkg-config", "pkgconf"], "pkg-config");
    let folder = project(&installed, "meson.build", "", "meson");
    builds_and_runs(&installed, &folder, &[&["meson", "setup", "build"], &["ninja", "-C", "build"]]);
}

/// Another folder to build in changes no byte, and no path of this machine is inside.
#[test]
fn a_second_build_is_the_same() {
    let (first, elsewhere) = (Installed::new(), TempDir::new().expect("a folder"));
    // Of the two kinds of object one is enough for that.
    let script = "set -eu; here=$1; . \"$1/build.sh\"; build_shared; build_malloc; tidy";
    let mut build = command("sh");
    succeed(build.args(["-c", script, "sh"]).arg(capi()).env("CARGO_TARGET_DIR", elsewhere.path()));
    for (library, built) in [("libhmalloc-malloc.a", "libhmalloc-malloc.a"), ("libhmalloc.so.0.1.0", "libhmalloc.so")] {
        let bytes = fs::read(first.prefix().join("lib").join(library)).expect("a library");
        let again = fs::read(elsewhere.path().join("install").join(built)).expect("a library");
        assert!(bytes == again, "{library} differs");
        let home = std::env::var_os("CARGO_HOME").or_else(|| std::env::var_os("HOME")).expect("a home");
        for path in [repository(""), scratch(""), PathBuf::from(home)] {
            let path = path.to_str().expect("a path").trim_end_matches('/');
            let inside = bytes.windows(path.len()).any(|window| window == path.as_bytes());
            assert!(path.len() < 6 || !inside, "{library} has {path} inside");
        }
    }
}
