//! What the program file needs: neither an interpreter nor a library.

use super::{assert_status, oracle};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};
use std::fs;
use std::path::Path;
use std::process::Command;
use support::places::repository;
use support::programs::{program, run, stdout};

/// What an ELF file asks of the system: its type, its interpreter, and the libraries it needs.
fn needs(path: &Path) -> (elf::FileType, bool, usize) {
    let data = fs::read(path).expect("the program can be read");
    let header = elf::FileHeader64::<Endianness>::parse(&*data).expect("a 64-bit ELF file");
    let endian = header.endian().expect("a known byte order");
    let (mut interpreter, mut needed) = (false, 0);
    for segment in header.program_headers(endian, &*data).expect("program headers") {
        interpreter |= segment.interpreter(endian, &*data).expect("a sound segment").is_some();
        if let Some(table) = segment.dynamic(endian, &*data).expect("a sound segment") {
            needed += table.iter().filter(|entry| entry.d_tag.get(endian) == elf::DT_NEEDED).count();
        }
    }
    (header.e_type.get(endian), interpreter, needed)
}

#[test]
fn is_static_at_a_fixed_address_and_position_independent() {
    // The control: this test itself has an interpreter and needs a libc.
    let (_, interpreter, needed) = needs(&std::env::current_exe().expect("this test's file"));
    assert!(interpreter && needed > 0);
    let (fixed, pie) = (program("words", false), program("words", true));
    assert_eq!(needs(&fixed), (elf::ET_EXEC, false, 0));
    assert_eq!(needs(&pie), (elf::ET_DYN, false, 0));
    let text = fs::read(repository("tests/libc_free/words/fragments.rs")).expect("this file");
    for program in [fixed, pie] {
        let output = run(Command::new(program).args(["--quiet", "-"]), &text);
        assert_status(&output, 0);
        assert_eq!(stdout(&output), oracle(&text, 20).0);
    }
}
