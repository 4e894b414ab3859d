//! What the first page of an ELF file says, as it lies in memory.

use super::BUILD_ID_MAX;

/// What was found there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// From an address in the file to one in memory.
    pub(super) bias: usize,
    pub(super) build_id: ([u8; BUILD_ID_MAX], usize),
}

const WIDE: bool = size_of::<usize>() == 8;
/// Where a header has its fields: type, offset of the program headers, their number.
const TYPE: usize = 16;
const HEADERS: usize = if WIDE { 32 } else { 28 };
const COUNT: usize = if WIDE { 56 } else { 44 };
/// A program header: its length; type, address and length in memory.
const HEADER: usize = if WIDE { 56 } else { 32 };
const ADDRESS: usize = if WIDE { 16 } else { 8 };
const LENGTH: usize = if WIDE { 40 } else { 20 };
const LOAD: u32 = 1;
const NOTE: u32 = 4;
/// A program that runs where it was linked to.
const FIXED: u16 = 2;
const BUILD_ID: u32 = 3;
/// The most program headers that are looked at, and bytes of notes.
const HEADERS_MAX: usize = 32;
const NOTES_MAX: usize = 1024;

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(number(bytes, at))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(number(bytes, at))
}

fn address(bytes: &[u8], at: usize) -> usize {
    usize::from_ne_bytes(number(bytes, at))
}

/// Looks at the file that is mapped at `base`, through `read`, which says whether it could. Nothing if there is none.
pub(super) fn look(base: usize, read: impl Fn(usize, &mut [u8]) -> bool) -> Found {
    let mut header = [0; if WIDE { 64 } else { 52 }];
    if !read(base, &mut header) || header[..4] != *b"\x7fELF" {
        return Found { bias: base, ..Found::default() };
    }
    let fixed = half(&header, TYPE) == FIXED;
    let (first, count) = (address(&header, HEADERS), usize::from(half(&header, COUNT)).min(HEADERS_MAX));
    let (mut found, mut loaded) = (Found { bias: if fixed { 0 } else { base }, ..Found::default() }, false);
    for index in 0..count {
        let mut entry = [0; HEADER];
        if !read(base.wrapping_add(first).wrapping_add(index * HEADER), &mut entry) {
            break;
        }
        let at = address(&entry, ADDRESS);
        match word(&entry, 0) {
            LOAD if !loaded && !fixed => (found.bias, loaded) = (base.wrapping_sub(at & !0xfff), true),
            NOTE if found.build_id.1 == 0 => {
                found.build_id = look_for_build_id(found.bias.wrapping_add(at), address(&entry, LENGTH), &read);
            }
            _ => {}
        }
    }
    found
}

fn look_for_build_id(
    at: usize,
    length: usize,
    read: &impl Fn(usize, &mut [u8]) -> bool,
) -> ([u8; BUILD_ID_MAX], usize) {
    let mut notes = [0; NOTES_MAX];
    let length = length.min(NOTES_MAX);
    let mut id = ([0; BUILD_ID_MAX], 0);
    if !read(at, &mut notes[..length]) {
        return id;
    }
    let mut notes = &notes[..length];
    while notes.len() >= 12 {
        let (name, content, kind) = (word(notes, 0) as usize, word(notes, 4) as usize, word(notes, 8));
        let from = 12 + name.next_multiple_of(4);
        let is_gnu = notes.get(12..16) == Some(b"GNU\0");
        if kind == BUILD_ID && is_gnu {
            let content = notes.get(from..from + content.min(BUILD_ID_MAX)).unwrap_or_default();
            id.0[..content.len()].copy_from_slice(content);
            id.1 = content.len();
            break;
        }
        let Some(rest) = from.checked_add(content.next_multiple_of(4)).and_then(|next| notes.get(next..)) else {
            break;
        };
        notes = rest;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// A file with one loaded segment, and a note with a build id behind another note.
    #[test]
    fn the_build_id_and_the_bias_are_found() {
        let mut file = vec![0_u8; 4096];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"\x7fELF");
        put(TYPE, &3_u16.to_ne_bytes());
        put(HEADERS, &64_usize.to_ne_bytes());
        put(COUNT, &2_u16.to_ne_bytes());
        put(64, &LOAD.to_ne_bytes());
        put(64 + HEADER, &NOTE.to_ne_bytes());
        put(64 + HEADER + ADDRESS, &1024_usize.to_ne_bytes());
        put(64 + HEADER + LENGTH, &60_usize.to_ne_bytes());
        let note = |kind: u32, name: &[u8; 4], content: &[u8]| {
            let lengths = [4_u32, content.len() as u32, kind].map(u32::to_ne_bytes).concat();
            [&lengths[..], name, content].concat()
        };
        put(1024, &[note(1, b"GNU\0", &[9; 16]), note(BUILD_ID, b"GNU\0", b"identity")].concat());
        let base = 0x7000_0000;
        let read = |at: usize, into: &mut [u8]| match file
            .get(at.wrapping_sub(base)..)
            .and_then(|from| from.get(..into.len()))
        {
            Some(from) => {
                into.copy_from_slice(from);
                true
            }
            None => false,
        };
        let found = look(base, read);
        assert_eq!((found.bias, &found.build_id.0[..found.build_id.1]), (base, &b"identity"[..]));
        assert_eq!(look(base + 1, read), Found { bias: base + 1, ..Found::default() });
        assert_eq!(look(base, |_, _| false).bias, base);
    }
}
