//! The heap in glibc's figures: `mallinfo2`, `mallinfo` and `malloc_info`.

use crate::libc::{EINVAL, write_stream};
use crate::line::Text;
use crate::shared::HEAP;
use core::ffi::{c_int, c_void};
use core::fmt::{self, Write};
use hmalloc::{Heap, SpanKind, Stats, brk::Automatic};

// SAFETY (of every `no_mangle` here): the names are a libc's, and this library defines all of them.

/// Declares glibc's two structures, which differ in the type of their fields, and the conversion.
macro_rules! mallinfo {
    ($($(#[$comment:meta])* $field:ident,)*) => {
        /// glibc's `struct mallinfo2`.
        #[repr(C)]
        #[derive(Default)]
        struct Mallinfo2 {
            $($(#[$comment])* $field: usize,)*
        }

        /// glibc's `struct mallinfo`.
        #[repr(C)]
        pub(crate) struct Mallinfo {
            $($field: c_int,)*
        }

        impl From<Mallinfo2> for Mallinfo {
            /// Saturates where an `int` is too small. glibc's own wraps, and may be negative.
            fn from(wide: Mallinfo2) -> Self {
                Self { $($field: c_int::try_from(wide.$field).unwrap_or(c_int::MAX),)* }
            }
        }
    };
}

mallinfo! {
    /// Bytes below the break.
    arena,
    /// How many spans are free.
    ordblks,
    smblks,
    hblks,
    /// Bytes in mappings.
    hblkhd,
    usmblks,
    fsmblks,
    /// Bytes in use.
    uordblks,
    /// Bytes that are free.
    fordblks,
    /// Bytes at the top, which a trim could return.
    keepcost,
}

fn free_spans(heap: &Heap<Automatic>) -> usize {
    heap.spans().filter(|span| span.kind == SpanKind::Free).count()
}

#[unsafe(no_mangle)]
extern "C" fn mallinfo2() -> Mallinfo2 {
    HEAP.with(|heap| {
        let stats = heap.stats();
        let last = heap.spans().last().filter(|span| span.kind == SpanKind::Free);
        Mallinfo2 {
            arena: stats.heap_bytes - stats.mapped_bytes,
            ordblks: free_spans(heap),
            hblks: stats.map_calls,
            hblkhd: stats.mapped_bytes,
            uordblks: stats.live_bytes,
            fordblks: stats.free_bytes,
            keepcost: last.map_or(0, |span| span.bytes),
            ..Mallinfo2::default()
        }
    })
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn mallinfo() -> Mallinfo {
    mallinfo2().into()
}

/// What `malloc_info` writes: glibc's elements. Some describe parts that this heap does not have.
struct Info {
    stats: Stats,
    free_spans: usize,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n</sizes>\n")?;
        self.totals(f)?;
        self.kernel_memory(f)?;
        f.write_str("</heap>\n")?;
        self.totals(f)?;
        let Stats { map_calls, mapped_bytes, .. } = self.stats;
        writeln!(f, "<total type=\"mmap\" count=\"{map_calls}\" size=\"{mapped_bytes}\"/>")?;
        self.kernel_memory(f)?;
        f.write_str("</malloc>\n")
    }
}

impl Info {
    /// What is free. Nothing is in "fast" lists, which glibc counts apart.
    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, size) = (self.free_spans, self.stats.free_bytes);
        f.write_str("<total type=\"fast\" count=\"0\" size=\"0\"/>\n")?;
        writeln!(f, "<total type=\"rest\" count=\"{count}\" size=\"{size}\"/>")
    }

    /// What is below the break.
    fn kernel_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { heap_bytes, mapped_bytes, peak_heap_bytes, .. } = self.stats;
        let current = heap_bytes - mapped_bytes;
        writeln!(f, "<system type=\"current\" size=\"{current}\"/>")?;
        writeln!(f, "<system type=\"max\" size=\"{peak_heap_bytes}\"/>")?;
        writeln!(f, "<aspace type=\"total\" size=\"{current}\"/>")?;
        writeln!(f, "<aspace type=\"mprotect\" size=\"{current}\"/>")
    }
}

/// Returns the error itself, as glibc does (its manual says otherwise); -1 if the stream failed, which sets `errno`.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc_info(options: c_int, stream: *mut c_void) -> c_int {
    if options != 0 {
        return EINVAL;
    }
    // Writing to the stream may allocate, so the heap is unlocked first.
    let (stats, free_spans) = HEAP.with(|heap| (heap.stats(), free_spans(heap)));
    let mut text = Text::<2048>::new();
    let _ = write!(text, "{}", Info { stats, free_spans });
    // SAFETY: the caller passes a stream that is open for writing.
    if unsafe { write_stream(stream, text.as_bytes()) } { 0 } else { -1 }
}
