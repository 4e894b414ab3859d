//! A profile as lines.

use super::frames::write_frame;
use super::{InUse, Place, Profile, Value};
use crate::kernel::modules::Modules;
use crate::look::figures::Grouped;
use core::fmt::{self, Write};

/// How many places the list of what is in use has.
const LISTED: usize = 100;
/// How many frames of each.
const FRAMES: usize = 16;

impl Profile<'_> {
    /// Writes a line for each stack: its frames from the outermost to the innermost with semicolons between them, a space and
    /// the value. Tools for flame graphs read this. Frames are `FILE+0xADDRESS`. Stacks whose value is not above 0 are left out.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// use hmalloc::{Sampling, Value};
    ///
    /// HEAP.start_profile(Sampling::new().every(1)).unwrap();
    /// HEAP.allocate(core::alloc::Layout::new::<u64>()).unwrap();
    /// let mut text = String::new();
    /// HEAP.profile().unwrap().write_collapsed(Value::AllocSpace, &mut text).unwrap();
    /// assert!(text.ends_with(" 8\n"));
    /// ```
    ///
    /// # Errors
    ///
    /// That of `out`.
    pub fn write_collapsed(&self, value: Value, out: &mut impl Write) -> fmt::Result {
        let modules = Modules::load();
        for place in self.places() {
            let number = place.value(value);
            if number <= 0 {
                continue;
            }
            if place.site.depth == 0 {
                out.write_str("unknown")?;
            }
            for (index, frame) in self.sites.frames(&place.site).rev().enumerate() {
                out.write_str(if index == 0 { "" } else { ";" })?;
                write_frame(out, modules.as_ref(), frame, false)?;
            }
            writeln!(out, " {number}")?;
        }
        Ok(())
    }

    /// Writes what is in use, by the place where it was allocated, the most bytes first: at exit, what was never freed. A line
    /// for each of up to 100 places, with the estimate and the samples that it rests on, and a line for each of its innermost
    /// frames: `FILE+0xADDRESS`, as `addr2line -Cfie FILE 0xADDRESS` takes them.
    ///
    /// Finding the next largest place takes a walk over all of them.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// HEAP.start_profile(hmalloc::Sampling::new()).unwrap();
    /// let mut text = String::new();
    /// HEAP.profile().unwrap().write_leaks(&mut text).unwrap();
    /// assert_eq!(text, "hmalloc: 0 bytes in 0 blocks are in use, by 0 samples, one in 524,288 bytes\n");
    /// ```
    ///
    /// # Errors
    ///
    /// That of `out`.
    pub fn write_leaks(&self, out: &mut impl Write) -> fmt::Result {
        let total = self.places().map(|place| place.in_use).fold(InUse::default(), InUse::and);
        let each = self.sites.mean();
        write!(
            out,
            "hmalloc: {} bytes in {} blocks are in use, by {} samples",
            Signed(total.bytes),
            Signed(total.blocks),
            Signed(total.samples)
        )?;
        if each == 1 {
            writeln!(out, ": all blocks")?
        } else {
            writeln!(out, ", one in {} bytes", Grouped(each))?
        }
        if self.sites.without_room() > 0 {
            writeln!(out, "the table of stacks is full: {} samples have none", Grouped(self.sites.without_room()))?;
        }
        let modules = Modules::load();
        let mut last = None;
        for listed in 0.. {
            let Some((key, place)) = self.next_largest(last) else { break };
            if listed == LISTED {
                writeln!(out, "\nmore places have less")?;
                break;
            }
            self.write_place(&place, modules.as_ref(), out)?;
            last = Some(key);
        }
        Ok(())
    }

    /// The place with the most bytes in use after the one with this key; of places with as many, the one with the lower number.
    fn next_largest(&self, after: Option<(i64, usize)>) -> Option<((i64, usize), Place)> {
        let all = (0..self.sites.count()).map(|number| (number, self.place(number)));
        let used = all.filter(|(_, place)| place.in_use.samples != 0);
        // Numbers move while they are read: a place that has grown meanwhile is passed over, and none comes twice.
        let keyed = used.map(|(number, place)| ((place.in_use.bytes, usize::MAX - number), place));
        keyed.filter(|(key, _)| after.is_none_or(|after| *key < after)).max_by_key(|(key, _)| *key)
    }

    fn write_place(&self, place: &Place, modules: Option<&Modules>, out: &mut impl Write) -> fmt::Result {
        let InUse { blocks, bytes, samples, sampled_bytes } = place.in_use;
        write!(out, "\n{} bytes in {} blocks", Signed(bytes), Signed(blocks))?;
        if self.sites.mean() > 1 {
            write!(out, " ({} samples of {} bytes)", Signed(samples), Signed(sampled_bytes))?;
        }
        writeln!(out, ", allocated by")?;
        if place.site.depth == 0 {
            writeln!(out, "    an unknown place")?;
        }
        for frame in self.sites.frames(&place.site).take(FRAMES) {
            out.write_str("    ")?;
            write_frame(out, modules, frame, true)?;
            out.write_char('\n')?;
        }
        if place.site.depth > FRAMES {
            writeln!(out, "    and {} more", place.site.depth - FRAMES)?;
        }
        Ok(())
    }
}

/// A number with commas between thousands, which may be below 0.
struct Signed(i64);

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.0 < 0 { "-" } else { "" }, Grouped(self.0.unsigned_abs() as usize))
    }
}
