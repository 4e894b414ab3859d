//! Numbers in few bytes, as text that a page can hold.
//!
//! A **column** is a list of numbers, each written as its difference from the one before, in base 36, with commas between them; a
//! run of numbers that do not change is `*` and how many they are. So `10,10,10,11` is `a,*2,1`.
//!
//! A **map** is a frame's heap in cells of equal length: a letter for each, and behind it how many cells are like it, in base 36,
//! if it is more than one. `Y` stands for a cell that is as in the frame before.
//!
//! | letter | the cell |
//! |---|---|
//! | `A` to `K` | slabs, of which 0 to 10 tenths are live |
//! | `L` | a block of its own |
//! | `M` | metadata |
//! | `N` to `W` | several of these, of which 0 to 9 tenths are used |
//! | `X` | of another user of the break |
//! | `Z` | free |

use crate::timeline::{Cell, Frame, Pin, PinKind};
use std::fmt::Write;

/// A number in base 36.
fn base36(out: &mut String, number: i128) {
    if number < 0 {
        out.push('-');
    }
    let (mut digits, mut left) = ([0_u8; 32], number.unsigned_abs());
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(left % 36) as usize];
        left /= 36;
        if left == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

/// A column.
///
/// ```
/// assert_eq!(hmalloc_timeline::encode::column([10, 10, 10, 11, 1]), "a,*2,1,-a");
/// ```
#[must_use]
pub fn column(numbers: impl IntoIterator<Item = u64>) -> String {
    let (mut out, mut before, mut same) = (String::new(), 0, 0);
    for number in numbers {
        let difference = i128::from(number) - i128::from(before);
        before = number;
        if difference == 0 {
            same += 1;
            continue;
        }
        unchanged(&mut out, std::mem::take(&mut same));
        separate(&mut out);
        base36(&mut out, difference);
    }
    unchanged(&mut out, same);
    out
}

fn unchanged(out: &mut String, count: i128) {
    if count > 0 {
        separate(out);
        out.push('*');
        base36(out, count);
    }
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push(',');
    }
}

/// A text as JSON, in quotes, and harmless in a page.
///
/// ```
/// assert_eq!(hmalloc_timeline::encode::text("a\"</script>\n"), r#""a\"\u003c/script\u003e\u000a""#);
/// ```
#[must_use]
pub fn text(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '<' | '>' | '&' | '\0'..' ' | '\u{2028}' | '\u{2029}' => _ = write!(out, "\\u{:04x}", u32::from(character)),
            character => out.push(character),
        }
    }
    out.push('"');
    out
}

/// The letters of a frame's cells, each of `bytes` bytes.
#[must_use]
pub fn cells(frame: &Frame, bytes: u64) -> Vec<u8> {
    let (mut letters, mut cell) = (Vec::new(), Mixed::default());
    for &(kind, mut length) in &frame.stretches {
        while length > 0 {
            let part = length.min(bytes - cell.bytes);
            cell.add(kind, part);
            length -= part;
            if cell.bytes == bytes {
                letters.push(std::mem::take(&mut cell).letter());
            }
        }
    }
    if cell.bytes > 0 {
        letters.push(cell.letter());
    }
    letters
}

/// What is in a cell.
#[derive(Default)]
struct Mixed {
    bytes: u64,
    /// The first kind, and whether all is of it.
    first: Option<Cell>,
    is_mixed: bool,
    /// Bytes in use, times ten.
    used: u64,
}

impl Mixed {
    fn add(&mut self, kind: Cell, bytes: u64) {
        self.is_mixed |= *self.first.get_or_insert(kind) != kind;
        self.bytes += bytes;
        self.used += bytes
            * match kind {
                Cell::Free => 0,
                Cell::Slab(tenths) => u64::from(tenths),
                _ => 10,
            };
    }

    fn letter(self) -> u8 {
        match self.first {
            _ if self.is_mixed => b'N' + (self.used / self.bytes.max(1)).min(9) as u8,
            Some(Cell::Slab(tenths)) => b'A' + tenths.min(10),
            Some(Cell::Block) => b'L',
            Some(Cell::Metadata) => b'M',
            Some(Cell::Foreign) => b'X',
            Some(Cell::Free) | None => b'Z',
        }
    }
}

/// A map after the one before.
#[must_use]
pub fn map(letters: &[u8], before: &[u8]) -> String {
    let same = |(at, &letter): (usize, &u8)| if before.get(at) == Some(&letter) { b'Y' } else { letter };
    let changed: Vec<u8> = letters.iter().enumerate().map(same).collect();
    let mut out = String::new();
    for run in changed.chunk_by(|one, next| one == next) {
        out.push(char::from(run[0]));
        if run.len() > 1 {
            base36(&mut out, run.len() as i128);
        }
    }
    out
}

/// What lies at the border of free memory: kind, offset, length, and of a slab three numbers more, in base 36 with dots between.
pub(crate) fn pin(pin: &Pin) -> String {
    let mut out = String::from(match pin.kind {
        PinKind::Slab => "S",
        PinKind::Block => "B",
        PinKind::Metadata => "M",
        PinKind::Foreign => "F",
    });
    base36(&mut out, pin.offset.into());
    let slots = if pin.kind == PinKind::Slab { &pin.slots[..] } else { &[] };
    for &number in [pin.bytes].iter().chain(slots) {
        out.push('.');
        base36(&mut out, number.into());
    }
    out
}

/// The free runs of a frame: the end, then the others, with semicolons between. Each is its offset and its length, and what lies
/// below and above it.
pub(crate) fn runs(frame: &Frame) -> String {
    let mut out = String::new();
    if let Some((bytes, end)) = &frame.end {
        base36(&mut out, (*bytes).into());
        out.push('|');
        out.push_str(&pin(end));
    }
    for run in &frame.runs {
        out.push(';');
        base36(&mut out, run.offset.into());
        out.push('|');
        base36(&mut out, run.bytes.into());
        for border in [&run.below, &run.above] {
            out.push('|');
            out.push_str(&border.as_ref().map(pin).unwrap_or_default());
        }
    }
    out
}
