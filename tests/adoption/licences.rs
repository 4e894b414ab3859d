//! The licences of what each package is built from: LICENCES.md states them all.

use crate::build::cargo;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use support::installed::succeed;
use support::places::repository;

/// What this repository's tests build anyway. `HMALLOC_TEST_BENCH=1` adds the benchmark, whose peers have to be fetched.
const PACKAGES: [&str; 15] = [
    "",
    "capi",
    "fuzz",
    "learn/orderings",
    "models",
    "tests/collections",
    "tests/portable",
    "tests/programs",
    "examples/arena",
    "examples/bare",
    "examples/musl",
    "examples/origin",
    "examples/service",
    "examples/std",
    "runtime",
];
const BENCH: [&str; 4] = ["bench", "bench/programs", "bench/recorder", "bench/tiny"];

/// The crates that `package` is built from, by licence.
fn used(package: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut tree = cargo(&repository(package), "licences");
    tree.args(["tree", "--locked", "--workspace", "--all-features", "--edges", "normal,build,dev"]);
    let said = succeed(tree.args(["--prefix", "none", "--format", "{l}\t{p}"]));
    let mut used = BTreeMap::<_, BTreeSet<String>>::new();
    for line in said.lines().filter(|line| !line.is_empty()) {
        let (licence, name) = line.split_once('\t').expect("a licence and a package");
        let name = name.split(' ').next().unwrap_or_default().to_owned();
        used.entry(licence.replace('/', " OR ")).or_default().insert(name);
    }
    used
}

#[test]
fn every_licence_of_the_tree_is_stated() {
    let stated = fs::read_to_string(repository("LICENCES.md")).expect("LICENCES.md");
    let bench = std::env::var_os("HMALLOC_TEST_BENCH").is_some();
    for package in PACKAGES.iter().chain(if bench { &BENCH[..] } else { &[] }) {
        let used = used(package);
        let has_heap = used.values().any(|names| names.contains("hmalloc") || names.contains("syscalls"));
        assert!(has_heap || ["models", "learn/orderings"].contains(package), "{package}: {used:?}");
        for (licence, names) in used {
            assert!(
                stated.contains(&format!("| `{licence}` |")),
                "{package}: {licence:?} of {names:?} is not in LICENCES.md"
            );
        }
    }
}

/// The library itself: one dependency, whose licence asks for its text to be kept.
#[test]
fn the_library_depends_on_one_crate() {
    let mut tree = cargo(&repository(""), "licences");
    tree.args([
        "tree",
        "--locked",
        "--package",
        "hmalloc",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p} {l}",
    ]);
    let said = succeed(&mut tree);
    let dependencies: Vec<&str> = said.lines().skip(1).collect();
    assert!(
        matches!(dependencies[..], [only] if only.starts_with("syscalls ") && only.ends_with("BSD-2-Clause")),
        "{said}"
    );
}
