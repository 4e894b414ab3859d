//! The files that the process's code comes from: what a profile needs so that tools can find the names of functions.

mod elf;

use super::backtrace;
use super::brk::{map_alone, unmap_alone};
use super::file::File;
use super::tasks;
use core::ops::Range;

/// How many stretches of code are told apart.
const MODULES_MAX: usize = 512;
/// Bytes for all paths together.
const NAMES_MAX: usize = 48 << 10;
/// The longest line of the kernel's list that is read whole. Of a longer one the end of the path is missing.
const LINE_MAX: usize = 1024;
/// The longest build id that is kept.
pub(crate) const BUILD_ID_MAX: usize = 20;

/// A stretch of code that is mapped from a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Module {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Where it begins in the file.
    pub(crate) offset: usize,
    /// From an address in the file, as linkers count them, to one in memory.
    pub(crate) bias: usize,
    name: (usize, usize),
    build_id: ([u8; BUILD_ID_MAX], usize),
}

impl Module {
    /// The build id of its file, as a linker has noted it there: empty if it has not.
    pub(crate) fn build_id(&self) -> &[u8] {
        self.build_id.0.get(..self.build_id.1).unwrap_or_default()
    }
}

/// All stretches of code, as they were when this was loaded, in a mapping of its own.
#[derive(Debug)]
pub(crate) struct Modules(&'static Table);

#[derive(Debug)]
struct Table {
    list: List,
    /// Lines as they are read: not on the stack, which may be small.
    line: [u8; LINE_MAX],
}

#[derive(Debug)]
struct List {
    /// Whether memory is not looked at, for a filter might kill the process for that: files have no build id then.
    blind: bool,
    modules: [Module; MODULES_MAX],
    count: usize,
    names: [u8; NAMES_MAX],
    names_used: usize,
}

/// A line of that list.
struct Mapping<'a> {
    range: Range<usize>,
    offset: usize,
    is_code: bool,
    path: &'a [u8],
}

impl Modules {
    /// Reads the kernel's list. `None` if there is no memory for it. Where the list cannot be read, it is empty.
    pub(crate) fn load() -> Option<Self> {
        let mapping = map_alone(size_of::<Table>()).ok()?;
        // SAFETY: a mapping of that size, zero, and no other code uses it; zeros are an empty table.
        let table = unsafe { &mut *core::ptr::with_exposed_provenance_mut::<Table>(mapping) };
        table.list.blind = tasks::is_filtered();
        fill(table);
        Some(Self(table))
    }

    /// All of them, by their number.
    pub(crate) fn all(&self) -> &[Module] {
        self.0.list.modules.get(..self.0.list.count).unwrap_or_default()
    }

    /// The number of the module in which an address lies.
    pub(crate) fn around(&self, address: usize) -> Option<usize> {
        self.all().iter().position(|module| (module.start..module.end).contains(&address))
    }

    /// The path of a module's file, or what the kernel calls it.
    pub(crate) fn path(&self, module: &Module) -> &[u8] {
        self.0.list.names.get(module.name.0..module.name.0 + module.name.1).unwrap_or_default()
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        // SAFETY: mapped by `load`; nothing that was borrowed of it is left.
        unsafe { unmap_alone(core::ptr::from_ref(self.0).addr(), size_of::<Table>()) };
    }
}

/// The stretch of code around an address of this process.
pub(crate) fn code_around(address: usize) -> Option<Range<usize>> {
    let modules = Modules::load()?;
    modules.around(address).map(|number| modules.all()[number].start..modules.all()[number].end)
}

fn fill(table: &mut Table) {
    let Table { list: table, line } = table;
    let Ok(list) = File::open_to_read(c"/proc/self/maps") else { return };
    // Where the file begins in memory whose lines are read now.
    let (mut base, mut base_name) = (0, (0, 0));
    each_line(&list, line, |line| {
        let Some(mapping) = parse(line) else { return };
        if mapping.offset == 0 {
            base = mapping.range.start;
            base_name = if mapping.path.is_empty() { (0, 0) } else { table.name(mapping.path) };
        }
        if mapping.is_code && !mapping.path.is_empty() {
            let same = table.names.get(base_name.0..base_name.0 + base_name.1) == Some(mapping.path);
            let name = if same { base_name } else { table.name(mapping.path) };
            table.add(&mapping, if same { base } else { mapping.range.start }, name);
        }
    });
}

impl List {
    /// Keeps a path; an empty one if there is no room.
    fn name(&mut self, path: &[u8]) -> (usize, usize) {
        let at = self.names_used;
        let Some(place) = self.names.get_mut(at..at + path.len()) else { return (0, 0) };
        place.copy_from_slice(path);
        self.names_used += path.len();
        (at, path.len())
    }

    fn add(&mut self, mapping: &Mapping<'_>, base: usize, name: (usize, usize)) {
        let blind = self.blind;
        let Some(place) = self.modules.get_mut(self.count) else { return };
        let file = elf::look(base, |at, into| !blind && backtrace::read_bytes(at, into));
        let Range { start, end } = mapping.range;
        *place = Module { start, end, offset: mapping.offset, bias: file.bias, name, build_id: file.build_id };
        self.count += 1;
    }
}

/// Calls `each` for the lines of a file.
fn each_line(file: &File, buffer: &mut [u8; LINE_MAX], mut each: impl FnMut(&[u8])) {
    let mut held = 0;
    loop {
        let Ok(more) = file.read(&mut buffer[held..]) else { return };
        let filled = held + more;
        let mut from = 0;
        while let Some(length) = buffer[from..filled].iter().position(|&byte| byte == b'\n') {
            each(&buffer[from..from + length]);
            from += length + 1;
        }
        if more == 0 || (from == 0 && filled == LINE_MAX) {
            // The end, or a line that is too long: what is there of it counts, and its rest is no line.
            each(&buffer[from..filled]);
            if more == 0 {
                return;
            }
            from = filled;
        }
        buffer.copy_within(from..filled, 0);
        held = filled - from;
    }
}

/// A line as `7f1c40000000-7f1c40021000 r-xp 00001000 08:01 1234    /usr/lib/libc.so.6`.
fn parse(line: &[u8]) -> Option<Mapping<'_>> {
    let mut words = line.splitn(6, |&byte| byte == b' ');
    let mut ends = words.next()?.split(|&byte| byte == b'-');
    let range = hexadecimal(ends.next()?)?..hexadecimal(ends.next()?)?;
    let is_code = words.next()?.get(2) == Some(&b'x');
    let offset = hexadecimal(words.next()?)?;
    let path = words.nth(2).unwrap_or_default().trim_ascii();
    Some(Mapping { range, offset, is_code, path })
}

fn hexadecimal(digits: &[u8]) -> Option<usize> {
    usize::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_any_path() {
        let line = b"7f1c40000000-7f1c40021000 r-xp 00001000 08:01 1234       /a path/libc.so.6 (deleted)";
        let mapping = parse(line).expect("a mapping");
        assert_eq!(
            (mapping.range, mapping.offset, mapping.is_code),
            (0x7f1c_4000_0000..0x7f1c_4002_1000, 0x1000, true)
        );
        assert_eq!(mapping.path, b"/a path/libc.so.6 (deleted)");
        let none = parse(b"10-20 rw-p 0 00:00 0").expect("a mapping");
        assert!(none.path.is_empty() && !none.is_code);
        assert!(parse(b"").is_none() && parse(b"rest of a long line").is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "it asks the kernel")]
    fn this_program_is_among_the_modules() {
        let (modules, here) = (Modules::load().expect("memory"), parse as *const () as usize);
        let number = modules.around(here).expect("this code is mapped from a file");
        let module = modules.all()[number];
        let name = std::env::current_exe().expect("a path");
        assert_eq!(modules.path(&module), name.as_os_str().as_encoded_bytes());
        assert_eq!(code_around(here), Some(module.start..module.end));
        assert!(module.bias <= module.start, "{module:?}");
        assert!(modules.around(0).is_none());
    }
}
