//! Every allocator behind the same boundary: six functions that are never inlined, called through pointers.

mod arena;
pub(crate) mod block;
mod boundary;
mod c;
pub(crate) mod candidate;
mod dl;
mod own;

pub(crate) use own::stats;

use candidate::{Entry, entry};

pub(crate) static ALL: [Entry; 17] = [
    entry::<own::SingleThreaded>(),
    entry::<own::Locked>(),
    entry::<own::OnBreak>(),
    entry::<own::LockedOnBreak>(),
    entry::<c::Mimalloc>(),
    entry::<c::Jemalloc>(),
    entry::<c::Snmalloc>(),
    entry::<c::Rpmalloc>(),
    entry::<c::System>(),
    entry::<arena::Talc>(),
    entry::<arena::Rlsf>(),
    entry::<arena::Picoalloc>(),
    entry::<dl::Dlmalloc>(),
    entry::<dl::RustixDlmalloc>(),
    entry::<arena::Buddy>(),
    entry::<arena::LinkedList>(),
    entry::<boundary::Empty>(),
];

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
