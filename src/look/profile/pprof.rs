//! A profile in pprof's format: the message `Profile` of its `profile.proto`, not compressed, which its readers accept.
//!
//! ```text
//! Profile    1 sample_type   2 sample   3 mapping   4 location   6 string_table   7 drop_frames   11 period_type   12 period
//!            14 default_sample_type
//! ValueType  1 type   2 unit                          both as indices into the strings
//! Sample     1 location_id, the innermost first       2 value, one for each sample_type
//! Mapping    1 id   2 memory_start   3 memory_limit   4 file_offset   5 filename   6 build_id
//! Location   1 id   2 mapping_id   3 address
//! ```
//!
//! A location is a frame of a site, and its id the frame's number among all: so nothing has to be looked up or remembered.

use super::frames::call_before;
use super::proto::{Message, write_field};
use super::{Place, Profile, Value};
use crate::kernel::modules::{BUILD_ID_MAX, Modules};

const SAMPLE_TYPE: u64 = 1;
const SAMPLE: u64 = 2;
const MAPPING: u64 = 3;
const LOCATION: u64 = 4;
const STRING: u64 = 6;
const DROP_FRAMES: u64 = 7;
const PERIOD_TYPE: u64 = 11;
const PERIOD: u64 = 12;
const DEFAULT_SAMPLE_TYPE: u64 = 14;

/// The first strings; the first one has to be empty.
const STRINGS: [&str; 9] = [
    "",
    "alloc_objects",
    "count",
    "alloc_space",
    "bytes",
    "inuse_objects",
    "inuse_space",
    "space",
    // The heap's own functions, and those that lead to them.
    "_?_?hmalloc(_c)?::.*|.*hmalloc\\.\\.global.*|.*GlobalAlloc.*|__rust_alloc.*|__rust_realloc|__rdl_.*|__rg_.*|_Unwind_Backtrace",
];
const TYPES: [(u64, u64); 4] = [(1, 2), (3, 4), (5, 2), (6, 4)];
const VALUES: [Value; 4] = [Value::AllocObjects, Value::AllocSpace, Value::InuseObjects, Value::InuseSpace];

impl Profile<'_> {
    /// Writes the profile in pprof's format, piece by piece, to `out`: with the values `alloc_objects`, `alloc_space`,
    /// `inuse_objects` and `inuse_space`. A difference can have values below 0.
    ///
    /// Reads `/proc/self/maps`; without that, the addresses have no files.
    ///
    /// # Errors
    ///
    /// That of `out`.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// use std::io::Write;
    ///
    /// HEAP.start_profile(hmalloc::Sampling::new().every(1)).unwrap();
    /// let mut file: Vec<u8> = Vec::new(); // Or a `std::fs::File`.
    /// HEAP.profile().unwrap().write_pprof(|piece| file.write_all(piece)).unwrap();
    /// assert!(file.len() > 100);
    /// ```
    pub fn write_pprof<E>(&self, mut out: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let modules = Modules::load();
        for (kind, unit) in TYPES {
            write_field(&mut out, SAMPLE_TYPE, value_type(kind, unit).bytes())?;
        }
        STRINGS.iter().try_for_each(|string| write_field(&mut out, STRING, string.as_bytes()))?;
        write_modules(&mut out, modules.as_ref())?;
        for place in self.places() {
            self.write_sample(&place, modules.as_ref(), &mut out)?;
        }
        write_field(&mut out, PERIOD_TYPE, value_type(7, 4).bytes())?;
        let mut last = Message::new();
        last.number(PERIOD, self.sites.mean() as u64).number(DEFAULT_SAMPLE_TYPE, 6).number(DROP_FRAMES, 8);
        out(last.bytes())
    }

    fn write_sample<E>(
        &self,
        place: &Place,
        modules: Option<&Modules>,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let ids = (0..place.site.depth).map(|index| (place.site.first + index + 1) as u64);
        for (id, frame) in ids.clone().zip(self.sites.frames(&place.site)) {
            let (mut location, address) = (Message::new(), call_before(frame));
            location.number(1, id).number(3, address as u64);
            if let Some(module) = modules.and_then(|modules| modules.around(address)) {
                location.number(2, module as u64 + 1);
            }
            write_field(out, LOCATION, location.bytes())?;
        }
        let mut sample = Message::new();
        sample.numbers(1, ids).numbers(2, VALUES.iter().map(|&value| place.value(value) as u64));
        debug_assert!(sample.is_whole());
        write_field(out, SAMPLE, sample.bytes())
    }
}

fn value_type(kind: u64, unit: u64) -> Message {
    let mut message = Message::new();
    message.number(1, kind).number(2, unit);
    message
}

/// Writes the mappings, each with two strings: its file and that one's build id.
fn write_modules<E>(out: &mut impl FnMut(&[u8]) -> Result<(), E>, modules: Option<&Modules>) -> Result<(), E> {
    let Some(modules) = modules else { return Ok(()) };
    for (number, module) in modules.all().iter().enumerate() {
        let mut build_id = [0; 2 * BUILD_ID_MAX];
        for (place, byte) in build_id.chunks_exact_mut(2).zip(module.build_id()) {
            place.copy_from_slice(&[byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        }
        write_field(out, STRING, modules.path(module))?;
        write_field(out, STRING, &build_id[..2 * module.build_id().len()])?;
        let (strings, mut message) = (STRINGS.len() + 2 * number, Message::new());
        message.number(1, number as u64 + 1).number(2, module.start as u64).number(3, module.end as u64);
        message.number(4, module.offset as u64).number(5, strings as u64).number(6, strings as u64 + 1);
        write_field(out, MAPPING, message.bytes())?;
    }
    Ok(())
}
