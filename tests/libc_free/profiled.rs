//! A profile without a libc: nothing unwinds there, so the stacks are those that frame pointers show.

use std::fs;
use std::process::Command;
use support::installed::{describe, run};
use support::packages;
use support::places::repository;
use support::programs::cargo;

const PROGRAM: &str = r#"#![no_std]
#![no_main]
use core::alloc::Layout;
use core::hint::black_box;
use hmalloc::{Sampling, Value};
use hmalloc_runtime::{Output, Process, STDOUT, program};

#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();

program!(main);

#[inline(never)]
fn innermost(size: usize) {
    let block = HEAP.allocate(Layout::from_size_align(size, 16).unwrap());
    assert!(black_box(block).is_ok());
}

#[inline(never)]
fn around_it(size: usize) {
    innermost(black_box(size));
    black_box(());
}

fn main(_: Process) -> i32 {
    HEAP.start_profile(Sampling::new().every(1)).unwrap();
    (0..5).for_each(|_| around_it(200));
    let mut output = Output::new(STDOUT);
    let written = HEAP.profile().unwrap().write_collapsed(Value::InuseSpace, &mut output);
    i32::from(written.is_err() || output.flush().is_err())
}
"#;

#[test]
fn frame_pointers_show_the_stacks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bare = repository("examples/bare");
    let manifest = fs::read_to_string(bare.join("Cargo.toml")).expect("a manifest");
    let manifest = manifest
        .replace("\"../..\"", &format!("{:?}", repository("")))
        .replace("\"../../runtime\"", &format!("{:?}", repository("runtime")));
    fs::create_dir(folder.path().join("src")).expect("a folder");
    fs::write(folder.path().join("Cargo.toml"), manifest).expect("a file");
    fs::write(folder.path().join("src/main.rs"), PROGRAM).expect("a file");
    for name in ["Cargo.lock", "build.rs"] {
        fs::copy(bare.join(name), folder.path().join(name)).expect("a file");
    }
    let mut build = cargo();
    build.args(["build", "--release", "--quiet"]).current_dir(folder.path());
    build.env("CARGO_TARGET_DIR", folder.path().join("target")).env("RUSTFLAGS", "-C force-frame-pointers=yes");
    let output = run(&mut build);
    assert!(output.status.success(), "{}", describe(&output));
    let program = folder.path().join("target/release/bare");
    let output = run(&mut Command::new(&program));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // Whether the heap's own frames are among them is the compiler's choice; that of the first sample may differ.
    let sum: usize = said.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum();
    assert!(output.status.success() && sum == 1000, "{said}{}", describe(&output));
    for line in said.lines() {
        let addresses = line.split([';', ' ']).filter_map(|frame| frame.strip_prefix("bare+"));
        let names = run(Command::new(packages::program(&["addr2line"], "binutils"))
            .args(["-Cfe"])
            .arg(&program)
            .args(addresses));
        let names = String::from_utf8_lossy(&names.stdout).into_owned();
        let at = |name: &str| names.find(name).unwrap_or_else(|| panic!("{name} is not in {names} of {line}"));
        assert!(at("around_it") < at("innermost"), "{names}");
    }
}
