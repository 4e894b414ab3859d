//! Every allocator behind the same boundary: six functions that are never inlined, called through pointers.

mod arena;
pub(crate) mod block;
mod boundary;
mod c;
pub(crate) mod candidate;
mod dl;
mod own;
mod shared;

pub(crate) use own::stats;

use candidate::{Entry, WORD, entry};
use std::alloc::Layout;

pub(crate) static ALL: [Entry; 20] = [
    entry::<own::Default>(),
    entry::<own::Alone>(),
    entry::<own::OnBreak>(),
    entry::<own::AloneOnBreak>(),
    entry::<c::Mimalloc>(),
    entry::<c::Jemalloc>(),
    entry::<c::Snmalloc>(),
    entry::<c::Rpmalloc>(),
    entry::<c::System>(),
    entry::<shared::RustyAlloc>(),
    entry::<arena::Talc>(),
    entry::<arena::Rlsf>(),
    entry::<arena::Picoalloc>(),
    entry::<dl::Dlmalloc>(),
    entry::<dl::RustixDlmalloc>(),
    entry::<arena::Buddy>(),
    entry::<arena::LinkedList>(),
    entry::<shared::TalcBehindLock>(),
    entry::<shared::RlsfBehindLock>(),
    entry::<boundary::Empty>(),
];

/// Those that are compared only where there are several threads: without their lock they have rows of their own.
const BEHIND_A_LOCK: [&str; 2] = ["talc-lock", "rlsf-lock"];

/// Whether an entry has a row where there is one thread.
pub(crate) fn is_for_one_thread(entry: &Entry) -> bool {
    !BEHIND_A_LOCK.contains(&entry.name)
}

/// Whether a request asks for no alignment.
#[inline(always)]
fn is_plain(layout: Layout) -> bool {
    layout.align() <= WORD
}

pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

/// Each package once, with its version.
pub(crate) fn versions<'a>(entries: impl IntoIterator<Item = &'a &'static Entry>) -> Vec<String> {
    let mut versions: Vec<String> = entries.into_iter().filter_map(|entry| entry.version()).collect();
    versions.dedup();
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use candidate::Kind;

    #[test]
    fn every_package_has_a_version() {
        for entry in ALL.iter().filter(|entry| entry.package.is_some()) {
            let version = entry.version().expect(entry.name);
            let (_, number) = version.split_once(' ').unwrap();
            assert!(number.split('.').count() == 3 && number.starts_with(|first: char| first.is_ascii_digit()));
        }
    }

    #[test]
    fn names_differ_and_there_is_one_boundary() {
        let mut names: Vec<&str> = ALL.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(ALL.iter().filter(|entry| entry.kind == Kind::Boundary).count(), 1);
    }
}
