//! Which metadata was returned since draining began. A span is returned part by part; whole groups of pages around one part may
//! overlap with those around the last, and their metadata is returned once.

use super::Thrift;
use core::ops::Range;

impl Thrift {
    /// Notes that the metadata of these pages is returned. Returns for which of them that is new, below and above what is known.
    pub(crate) fn note_groups(&mut self, pages: Range<usize>) -> [Range<usize>; 2] {
        let known = &mut self.groups;
        if known.end < pages.start || pages.end < known.start || (*known).is_empty() {
            *known = pages.clone();
            return [pages, 0..0];
        }
        let new = [pages.start..known.start, known.end..pages.end];
        *known = known.start.min(pages.start)..known.end.max(pages.end);
        new
    }

    /// Forgets it: pages may have been used since.
    pub(crate) fn forget_groups(&mut self) {
        self.groups = 0..0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_returned_is_not_new() {
        let mut thrift = Thrift::new();
        let new = |thrift: &mut Thrift, pages: Range<usize>| {
            let new = thrift.note_groups(pages).into_iter().filter(|pages| !pages.is_empty());
            new.map(|pages| (pages.start, pages.end)).collect::<std::vec::Vec<_>>()
        };
        assert_eq!(new(&mut thrift, 10..20), [(10, 20)]);
        assert_eq!(new(&mut thrift, 12..20), []);
        assert_eq!(new(&mut thrift, 5..25), [(5, 10), (20, 25)]);
        assert_eq!(new(&mut thrift, 20..30), [(25, 30)]);
        assert_eq!(new(&mut thrift, 40..50), [(40, 50)], "elsewhere");
        assert_eq!(new(&mut thrift, 50..60), [(50, 60)]);
        thrift.forget_groups();
        assert_eq!(new(&mut thrift, 40..50), [(40, 50)]);
    }
}
