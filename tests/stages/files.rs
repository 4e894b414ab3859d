//! What the stages' source files have to be: short, on their own, and no part of the production heap.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use support::places::{repository, scratch};
use support::programs::cargo;

const LONGEST: usize = 150;
const STAGES: [&str; 5] = ["s1_minimal", "s2_aligned", "s3_linked", "s4_splitting", "s5_coalescing"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn source(path: &str) -> PathBuf {
    repository("src").join(path)
}

/// The paths that code names from another module: what follows `use`, `crate::`, `super::` or `extern crate`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in code.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        let words = ["use ", "pub use ", "extern crate "].map(|word| line.strip_prefix(word));
        found.extend(words.into_iter().flatten().map(str::to_owned));
        for word in ["crate::", "super::", "std::", "alloc::"] {
            found.extend(line.match_indices(word).map(|(at, _)| line[at..].to_owned()));
        }
    }
    found
}

fn allowed(import: &str) -> bool {
    // `pub(super)` and `crate::brk` in a path are told apart by what follows.
    import.starts_with("core::") || import.starts_with("crate::brk::")
}

#[test]
fn every_stage_is_one_short_file_that_imports_core_and_brk() {
    for stage in STAGES {
        let code = read(&source(&format!("stages/{stage}.rs")));
        assert!(code.lines().count() <= LONGEST, "{stage} has {} lines", code.lines().count());
        let imports = imports(&code);
        assert!(imports.iter().any(|import| import.starts_with("crate::brk::")), "the search found no import of brk");
        let others: Vec<_> = imports.iter().filter(|import| !allowed(import)).collect();
        assert!(others.is_empty(), "{stage} imports {others:?}");
    }
}

#[test]
fn the_search_for_imports_finds_them() {
    let code =
        "use super::Heap;\n    let x = crate::heap::y();\npub use std::vec::Vec;\nextern crate alloc;\n// use z;";
    let found = imports(code);
    assert_eq!(found.iter().filter(|import| !allowed(import)).count(), found.len());
    for import in ["super::Heap;", "crate::heap::y();", "std::vec::Vec;", "alloc;"] {
        assert!(found.iter().any(|found| found == import), "{import} in {found:?}");
    }
}

/// Every Rust file below `folder`.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension() == Some(OsStr::new("rs")) {
            files.push(path);
        }
    }
    files
}

/// Lines of code, not comments, that name the stages' module.
fn mentions(code: &str) -> Vec<&str> {
    let code = code.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    code.filter(|line| line.contains("stages") && !line.starts_with("#[cfg(")).collect()
}

#[test]
fn nothing_in_the_library_names_the_stages_but_the_line_that_declares_them() {
    let stages = source("stages");
    let mut found = Vec::new();
    for file in rust_files(&source("")) {
        if !file.starts_with(&stages) {
            found.extend(mentions(&read(&file)).into_iter().map(|line| (file.clone(), line.to_owned())));
        }
    }
    assert_eq!(found, [(source("lib.rs"), "pub mod stages;".to_owned())]);
    let lib = read(&source("lib.rs"));
    assert!(lib.contains("#[cfg(feature = \"stages\")]\npub mod stages;"), "the stages are behind their feature");
}

/// The source files that a build of the library with these arguments compiles, by the build's own record.
fn compiled(target: &str, arguments: &[&str]) -> String {
    let target = scratch(target);
    let output = cargo()
        .args(["build", "--quiet", "--package", "hmalloc", "--lib", "--target-dir"])
        .arg(&target)
        .args(arguments)
        .current_dir(repository(""))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    read(&target.join("debug").join("libhmalloc.d"))
}

#[test]
fn a_build_without_the_feature_compiles_no_stage() {
    let plain = compiled("library", &[]);
    assert!(plain.contains("src/kernel/brk/mod.rs"), "the build's record lists source files: {plain}");
    assert!(!plain.contains("src/stages"), "{plain}");
    // The same look at a build that does compile them finds all five.
    let with_stages = compiled("library-with-stages", &["--features", "stages"]);
    for stage in STAGES {
        assert!(with_stages.contains(&format!("src/stages/{stage}.rs")), "{with_stages}");
    }
}
