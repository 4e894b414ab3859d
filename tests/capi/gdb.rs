//! The gdb commands: in a running process and in its core, of programs in C and in Rust without debug information. What they answer is
//! compared with what the program knows, which for a Rust program is the heap's own walk.

use std::fs;
use std::path::{Path, PathBuf};
use support::installed::{Installed, command, describe, run};
use support::packages;
use support::places::{repository, scratch};
use support::programs::cargo;
use tempfile::TempDir;

/// Asks for each address of the facts, which is `$facts`, then for the heaps as a whole.
const ASK: &str = "python\n\
    for fact in open('FACTS'):\n    \
        if not fact.startswith('heap'):\n        \
            print('asked', fact.strip(), '|', gdb.execute('hmalloc ' + fact.split()[0], to_string=True).strip())\n\
    end\n\
    hmalloc stats\n\
    hmalloc check\n";

/// Of what is done before a program runs, what is done before its core is looked at, too.
fn source(before: &str) -> String {
    if before.starts_with("source ") { format!("{before}\n") } else { String::new() }
}

/// What gdb says of a program at `stop_here`, and then of the core that it has written there.
fn answers(folder: &TempDir, program: &Path, before: &str) -> [String; 2] {
    let gdb = packages::program(&["gdb"], "gdb");
    let path = |name: &str| folder.path().join(name);
    let ask = ASK.replace("FACTS", path("facts").to_str().expect("a path"));
    let start = format!("{before}\nbreak stop_here\nrun {}\n", path("facts").display());
    let [live, core] = [
        (path("live"), format!("{start}{ask}generate-core-file {}\nkill\n", path("core").display())),
        (path("dead"), format!("{}core-file {}\n{ask}", source(before), path("core").display())),
    ]
    .map(|(script, text)| {
        fs::write(&script, text).expect("a script");
        let safe = "set auto-load safe-path /";
        let mut debug = command(&gdb);
        debug.args(["-q", "-nx", "-batch", "-iex", safe, "-iex", "set debuginfod enabled off", "-x"]).arg(&script);
        let output = run(debug.arg(program));
        assert!(output.status.success(), "{}", describe(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    [live, core]
}

/// Whether an answer says what a fact does.
fn agrees(fact: &str, answer: &str) -> bool {
    let words: Vec<&str> = fact.split(' ').collect();
    match words[..] {
        [address, "live", size] => answer.starts_with(&format!("{address}: a live block of {size} bytes at {address}")),
        [address, "free"] => {
            answer.starts_with(&format!("{address}: free"))
                || answer.starts_with(&format!("{address}: the unused tail"))
        }
        [_, "outside"] => answer.ends_with(": in no heap of hmalloc"),
        _ => false,
    }
}

/// The facts with which the answers disagree, and how many there were.
fn disagreements(answers: &str) -> (Vec<&str>, usize) {
    let asked: Vec<&str> = answers.lines().filter_map(|line| line.strip_prefix("asked ")).collect();
    let wrong = |line: &&&str| line.split_once(" | ").is_none_or(|(fact, answer)| !agrees(fact, answer));
    (asked.iter().filter(wrong).copied().collect(), asked.len())
}

fn right(answers: &str, least: usize) {
    let (wrong, asked) = disagreements(answers);
    assert!(
        wrong.is_empty() && asked >= least,
        "{} of {asked} are wrong:\n{}\n{answers}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(answers.contains(": sound, ") && !answers.contains("does not hold"), "{answers}");
}

#[test]
fn a_program_in_c_and_its_core_are_described() {
    let installed = Installed::new();
    let (shared, archive) = (installed.shared(), installed.malloc_archive());
    let rpath = format!("-Wl,-rpath,{}", installed.prefix().join("lib").display());
    // Stripped of all but the name at which it stops; static; on the preloaded library.
    let linked = installed.build("linked", &["cc"], "debugged.c", &[shared.as_os_str(), rpath.as_ref()]);
    let fixed = installed.build("static", &["cc", "-static"], "debugged.c", &[archive.as_os_str()]);
    let plain = installed.build("plain", &["cc"], "debugged.c", &[]);
    let preload = format!("set environment LD_PRELOAD {}", shared.display());
    for (program, before) in [(linked, ""), (fixed, ""), (plain, preload.as_str())] {
        for said in answers(&installed.directory, &program, before) {
            right(&said, 600);
        }
    }
}

/// A release build of a Rust program, which has no debug information.
fn rust_program() -> PathBuf {
    let mut build = cargo();
    // Where `company` builds the other programs of that package.
    build.args(["build", "--release", "--quiet", "--bin", "debugged", "--target-dir"]).arg(scratch("company"));
    let output = run(build.current_dir(repository("tests/programs")));
    assert!(output.status.success(), "{}", describe(&output));
    scratch("company").join("release/debugged")
}

#[test]
fn a_program_in_rust_with_two_heaps_is_described_as_they_do_it() {
    let folder = TempDir::new().expect("a folder");
    let built = rust_program();
    let strip = |name: &str, options: &[&str]| {
        let stripped = folder.path().join(name);
        let output = run(command("strip").args(options).arg("-o").arg(&stripped).arg(&built));
        assert!(output.status.success(), "{}", describe(&output));
        stripped
    };
    // Without names but that of the function; and as cargo strips by default, which takes the script away, too.
    let nameless = ["--strip-all", "--keep-symbol=stop_here", "--keep-section=.debug_gdb_scripts"];
    let (nameless, usual) = (strip("nameless", &nameless), strip("usual", &["--strip-debug"]));
    let source = format!("source {}", repository("src/look/gdb.py").display());
    for (program, before) in [(&built, ""), (&nameless, ""), (&usual, source.as_str())] {
        for said in answers(&folder, program, before) {
            right(&said, 600);
            let facts = fs::read_to_string(folder.path().join("facts")).expect("the facts");
            let heap = facts.lines().last().and_then(|line| line.strip_prefix("heap ")).expect("the heap");
            let [address, blocks, bytes] = heap.split(' ').collect::<Vec<_>>()[..] else { panic!("{heap}") };
            let counted = format!("heap at {address}: {blocks} blocks in use, {bytes} bytes; ");
            assert!(said.contains(&counted), "{counted}\n{said}");
            assert_eq!(said.matches(": sound, ").count(), 2, "{said}");
        }
    }
}

/// The control: an answer that is not the fact's is seen, and a header that was overwritten is, too.
#[test]
fn a_wrong_answer_and_a_broken_heap_are_seen() {
    let right = "asked 0x10 live 32 | 0x10: a live block of 32 bytes at 0x10, slot 1";
    assert_eq!(disagreements(right), (vec![], 1));
    for wrong in ["live 48 | ", "free | ", "outside | "] {
        assert_eq!(disagreements(&right.replace("live 32 | ", wrong)).0.len(), 1);
    }
    let installed = Installed::new();
    let (shared, rpath) = (installed.shared(), format!("-Wl,-rpath,{}", installed.prefix().join("lib").display()));
    let program = installed.build("broken", &["cc"], "debugged.c", &[shared.as_os_str(), rpath.as_ref()]);
    let gdb = packages::program(&["gdb"], "gdb");
    let script = installed.directory.path().join("script");
    // The length of the first span, of one page: if it were two, the handle of the second one would be wrong.
    let facts = installed.directory.path().join("facts");
    let text = format!(
        "break stop_here\nrun {}\npython\nheap = hmalloc_heaps()[0]\nrecord = heap.handle(heap.areas[0][0])\n\
         gdb.selected_inferior().write_memory(record + heap.length, b'\\x02')\nend\nhmalloc check\n",
        facts.display()
    );
    fs::write(&script, text).expect("a script");
    let mut debug = command(gdb);
    debug.args(["-q", "-nx", "-batch", "-iex", "set auto-load safe-path /", "-x"]).arg(&script).arg(&program);
    let output = run(&mut debug);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("hmalloc: I5 does not hold at 0x"), "{}", describe(&output));
}
