//! The heap's numbers as text: a table for people, JSON, and Prometheus' exposition format. Nothing is allocated, and a
//! program that does not ask for it has none of this code.

use crate::look::stats::Stats;
use core::fmt::{self, Write};

/// What a number is: what programs that collect numbers want to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only goes up.
    Counter,
}

/// A number with its name, and what it says in a sentence.
type Figure = (&'static str, Kind, usize, &'static str);

impl Stats {
    /// All numbers, under the names of the fields.
    #[rustfmt::skip]
    fn figures(&self) -> [Figure; 11] {
        use Kind::{Counter, Gauge};
        [
            ("live_blocks", Gauge, self.live_blocks, "Blocks that callers hold."),
            ("live_bytes", Gauge, self.live_bytes, "Bytes that callers may use."),
            ("free_bytes", Gauge, self.free_bytes, "Free bytes in the heap."),
            ("metadata_bytes", Gauge, self.metadata_bytes, "Bytes of headers and page map."),
            ("aside_bytes", Gauge, self.aside_bytes, "Bytes of metadata that are mapped aside."),
            ("foreign_bytes", Gauge, self.foreign_bytes, "Bytes over which another user raised the break."),
            ("heap_bytes", Gauge, self.heap_bytes, "Bytes that the heap has from the kernel."),
            ("mapped_bytes", Gauge, self.mapped_bytes, "Bytes in regions, because the break could not be raised."),
            ("peak_heap_bytes", Gauge, self.peak_heap_bytes, "The most bytes that the heap has had from the kernel."),
            ("brk_calls", Counter, self.brk_calls, "How often the kernel was asked to move the break."),
            ("map_calls", Counter, self.map_calls, "How often the kernel was asked for a region."),
        ]
    }

    /// Writes the numbers as one JSON object, whose keys are the names of the fields; `source` is a string. Without a newline.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// let mut text = String::new();
    /// HEAP.stats().write_json(&mut text).unwrap();
    /// assert!(text.starts_with(r#"{"live_blocks":0,"live_bytes":0,"#));
    /// ```
    ///
    /// # Errors
    ///
    /// That of `out`.
    pub fn write_json(&self, out: &mut impl Write) -> fmt::Result {
        let mut before = '{';
        for (name, _, number, _) in self.figures() {
            write!(out, "{before}\"{name}\":{number}")?;
            before = ',';
        }
        write!(out, ",\"source\":\"{}\"}}", self.source)
    }

    /// Writes the numbers in Prometheus' text format, each with its `HELP` and `TYPE`, under the names of the fields after
    /// `hmalloc_`; those that only go up end in `_total`. For several heaps see
    /// [`write_prometheus_of`](Self::write_prometheus_of).
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// let mut text = String::new();
    /// HEAP.stats().write_prometheus(&mut text).unwrap();
    /// assert!(text.contains("# TYPE hmalloc_live_bytes gauge\nhmalloc_live_bytes 0\n"));
    /// ```
    ///
    /// # Errors
    ///
    /// That of `out`.
    pub fn write_prometheus(&self, out: &mut impl Write) -> fmt::Result {
        Self::write_prometheus_of(&[("", *self)], out)
    }

    /// [`write_prometheus`](Self::write_prometheus) for several heaps, told apart by the label `heap`. A heap without a name
    /// gets no label.
    ///
    /// ```
    /// use hmalloc::{LocalHeap, Stats};
    ///
    /// let (first, second) = (LocalHeap::new(), LocalHeap::new());
    /// let mut text = String::new();
    /// Stats::write_prometheus_of(&[("first", first.stats()), ("second", second.stats())], &mut text).unwrap();
    /// assert!(text.contains("\nhmalloc_live_blocks{heap=\"first\"} 0\nhmalloc_live_blocks{heap=\"second\"} 0\n"));
    /// ```
    ///
    /// # Errors
    ///
    /// That of `out`.
    pub fn write_prometheus_of(heaps: &[(&str, Self)], out: &mut impl Write) -> fmt::Result {
        for (at, (name, kind, _, help)) in Self::default().figures().into_iter().enumerate() {
            let (total, kind) = if kind == Kind::Counter { ("_total", "counter") } else { ("", "gauge") };
            writeln!(out, "# HELP hmalloc_{name}{total} {help}\n# TYPE hmalloc_{name}{total} {kind}")?;
            for (heap, stats) in heaps {
                writeln!(out, "hmalloc_{name}{total}{} {}", Label(heap), stats.figures()[at].2)?;
            }
        }
        Ok(())
    }
}

/// The label of a heap, if it has a name.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        f.write_str("{heap=\"")?;
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\"),
                '"' => f.write_str("\\\""),
                '\n' => f.write_str("\\n"),
                other => f.write_char(other),
            }?;
        }
        f.write_str("\"}")
    }
}

/// A number with commas between thousands.
pub(crate) struct Grouped(pub(crate) usize);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 20 digits and 6 commas.
        let (mut text, mut at, mut left, mut digits) = ([b','; 26], 26, self.0, 0);
        loop {
            at -= usize::from(digits > 0 && digits % 3 == 0) + 1;
            text[at] = b'0' + (left % 10) as u8;
            (left, digits) = (left / 10, digits + 1);
            if left == 0 {
                break;
            }
        }
        f.pad(core::str::from_utf8(&text[at..]).unwrap_or_default())
    }
}

/// A table for people, of nine lines. Each begins with what is counted; sums come after their parts.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("live", self.live_bytes, "in blocks that callers hold"),
            ("free", self.free_bytes, ""),
            ("metadata", self.metadata_bytes, ""),
            ("heap", self.heap_bytes, "from the kernel"),
            ("  in regions", self.mapped_bytes, "because the break could not be raised"),
            ("peak", self.peak_heap_bytes, "at most from the kernel"),
            ("foreign", self.foreign_bytes, "of others between the heap's start and its end"),
        ];
        for (name, bytes, words) in rows {
            let space = if words.is_empty() { "" } else { " " };
            writeln!(f, "{name:<12} {:>19} bytes{space}{words}", Grouped(bytes))?;
        }
        let Self { live_blocks, brk_calls, map_calls, source, .. } = *self;
        writeln!(f, "blocks       {:>19}", Grouped(live_blocks))?;
        write!(
            f,
            "calls        {:>19} for the break, {} for regions; source: {source}",
            Grouped(brk_calls),
            Grouped(map_calls)
        )
    }
}
