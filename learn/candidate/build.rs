//! Writes down which heaps the program has, and links it without a libc.
//!
//! `HMALLOC_LEARN_HEAPS` names them: `NAME=KIND=FILE`, separated by `;`. The kinds: `heap` and `resizing` for a file with a
//! `Heap`, `stage5` for a copy of the journal's stage 5, `slab` for one with a `Slab`, `tests` for one with `TESTS`. Without
//! it these are the exercises as they are in `learn/exercises`.

use std::env;
use std::fmt::Write;
use std::path::Path;

const EXERCISES: [(&str, &str, &str); 7] = [
    ("e1", "heap", "e1_first_fit.rs"),
    ("e2", "heap", "e2_alignment.rs"),
    ("e3", "heap", "e3_free.rs"),
    ("e4", "heap", "e4_split.rs"),
    ("e5", "resizing", "e5_coalesce.rs"),
    ("e6", "slab", "e6_slab.rs"),
    ("e7", "tests", "e7_tests.rs"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=HMALLOC_LEARN_HEAPS");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo says where this is")).join("../exercises");
    let told = env::var("HMALLOC_LEARN_HEAPS").unwrap_or_else(|_| {
        let all = EXERCISES.map(|(name, kind, file)| format!("{name}={kind}={}", folder.join(file).display()));
        all.join(";")
    });
    let out = Path::new(&env::var("OUT_DIR").expect("cargo says where to write")).join("heaps.rs");
    std::fs::write(out, modules(&told)).expect("the build folder can be written");
    // A plain linker, as for other machines, knows the same without the compiler's words.
    let linker = env::var("RUSTC_LINKER").unwrap_or_default();
    let plain = Path::new(&linker).file_name().is_some_and(|name| name.to_string_lossy().contains("ld"));
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,-e,_start"] {
        match (plain, argument) {
            (true, "-nostartfiles") => {}
            (true, "-Wl,-e,_start") => println!("cargo::rustc-link-arg-bins=-e\ncargo::rustc-link-arg-bins=_start"),
            _ => println!("cargo::rustc-link-arg-bins={argument}"),
        }
    }
}

/// A module for each file, and the functions that find them by name.
fn modules(told: &str) -> String {
    let allowed = "#[allow(warnings, missing_docs, unreachable_pub, unsafe_op_in_unsafe_fn, clippy::all, clippy::undocumented_unsafe_blocks, \
                   reason = \"an exercise is the learner's, and has gaps\")]";
    let (mut text, mut heaps, mut slabs, mut tests) = (String::new(), String::new(), String::new(), String::new());
    for entry in told.split(';').filter(|entry| !entry.is_empty()) {
        let parts: Vec<&str> = entry.splitn(3, '=').collect();
        let [name, kind, file] = parts[..] else { panic!("{entry} is not NAME=KIND=FILE") };
        let _ = writeln!(text, "{allowed}\n#[path = {file:?}]\npub(crate) mod {name};");
        let mut heap = |kind: &str, of: &str| {
            let _ = writeln!(text, "learn_heap::candidate!({name}::{of}{kind});");
            let _ = writeln!(heaps, "{name:?} => play(&mut {name}::{of}::new(brk)),");
        };
        match kind {
            "heap" => heap("", "Heap"),
            "resizing" => heap(" resizing", "Heap"),
            "stage5" => heap(" resizing", "Coalescing"),
            "slab" => _ = writeln!(slabs, "{name:?} => play_slab::<{name}::Slots, _>(script, output, flush),"),
            "tests" => _ = writeln!(tests, "{name:?} => {name}::TESTS,"),
            _ => panic!("{kind} is no kind of heap"),
        }
        println!("cargo::rerun-if-changed={file}");
    }
    let _ = write!(
        text,
        "pub(crate) fn told<B: Kernel>(name: &str, brk: B, play: &mut dyn FnMut(&mut dyn Heap)) {{ match name {{ {heaps} \
         _ => own(name, brk, play) }} }}
         #[allow(unused_variables, reason = \"only exercise 6 has slabs\")]
         pub(crate) fn slab(name: &str, script: &str, output: &mut Output, flush: fn(&mut Output)) -> core::fmt::Result {{ \
         match name {{ {slabs} _ => no_such(name) }} }}
         pub(crate) fn tests(name: &str) -> Tests {{ match name {{ {tests} _ => \
         no_such(name) }} }}
         "
    );
    text
}
