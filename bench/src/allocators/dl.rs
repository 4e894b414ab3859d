//! The two Rust ports of dlmalloc, without a lock, over mappings of their own.

use super::candidate::{Candidate, Lone, candidate};
use std::alloc::Layout;

macro_rules! dlmalloc {
    ($type:ident, $static:ident, $package:ident, $name:literal) => {
        static $static: Lone<$package::Dlmalloc> = Lone::new($package::Dlmalloc::new());

        candidate!(
            $type,
            Some($name),
            $name,
            "no lock, over mmap",
            allocate(layout): $static.get().malloc(layout.size(), layout.align()),
            zeroed(layout): $static.get().calloc(layout.size(), layout.align()),
            free(payload, layout): $static.get().free(payload, layout.size(), layout.align()),
            resize(payload, old, new): $static.get().realloc(payload, old.size(), old.align(), new),
        );
    };
}

dlmalloc!(Dlmalloc, DLMALLOC, dlmalloc, "dlmalloc");
dlmalloc!(RustixDlmalloc, RUSTIX_DLMALLOC, rustix_dlmalloc, "rustix-dlmalloc");
