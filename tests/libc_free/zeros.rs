//! A heap in a `static` is all zero bits: it takes no bytes of the program's file.

use hmalloc::{Hmalloc, Policy, SingleThreaded};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};
use std::fs;
use std::path::Path;
use support::programs::program;

/// Heaps of this test's own program.
#[used]
static ZEROS_NEW: Hmalloc = Hmalloc::new();
#[used]
static ZEROS_POLICY: Hmalloc = Hmalloc::with_policy(Policy::Abort);
// SAFETY: it is never used.
#[used]
static ZEROS_ALONE: Hmalloc<SingleThreaded> = unsafe { Hmalloc::single_threaded() };
/// The control.
#[used]
static ZEROS_NOT: Hmalloc = Hmalloc::with_policy(Policy::Report);

/// The kind of the section in which the one symbol lies whose name has `part` in it, and its size.
fn place(path: &Path, part: &str) -> (SectionKind, u64) {
    let data = fs::read(path).expect("the program can be read");
    let file = object::File::parse(&*data).expect("an ELF file");
    let named = |symbol: &object::Symbol<'_, '_>| symbol.name().is_ok_and(|name| name.contains(part));
    let mut symbols = file.symbols().filter(named).filter(|symbol| symbol.size() > 1000);
    let (symbol, more) = (symbols.next().expect("a symbol of this name"), symbols.next());
    assert!(more.is_none(), "several symbols of {}: {part}", path.display());
    let section = file.section_by_index(symbol.section_index().expect("a section")).expect("a section");
    (section.kind(), symbol.size())
}

#[test]
fn a_static_heap_takes_no_bytes_of_the_file() {
    let own = std::env::current_exe().expect("this test's file");
    for name in ["ZEROS_NEW", "ZEROS_POLICY", "ZEROS_ALONE"] {
        assert_eq!(place(&own, name).0, SectionKind::UninitializedData, "{name}");
    }
    assert_eq!(place(&own, "ZEROS_NOT").0, SectionKind::Data);
    let (kind, size) = place(&program("words", false), "HEAP");
    assert!(kind == SectionKind::UninitializedData && size > 8000, "{kind:?}, {size} bytes");
}
