//! I4, in both directions: each free span but the top is in the best-fit index, and nothing else is.
//!
//! To walk the tree would take a stack. Instead, each of its spans is found from the root by its key, and its children
//! are such spans, too; so everything that can be reached is one. There are as many links as spans, so none is reached
//! twice.

use super::ensure;
use crate::central::fit::is_listed;
use crate::central::spans::Spans;
use crate::ground::corrupt::Corruption;
use crate::ground::header::{Kind, Span};
use crate::ground::list::Linked;

/// Relies on I1 and I2.
pub(super) fn index<B>(spans: &Spans<B>) -> Result<(), Corruption> {
    let heads = spans.fit.lists.iter().copied().chain([spans.fit.tree.root()]);
    heads.flatten().try_for_each(|head| is_indexed(spans, head))?;
    for span in indexed(spans) {
        // No link is followed before all have been checked so.
        [span.links().left.get(), span.links().right.get()]
            .into_iter()
            .flatten()
            .try_for_each(|link| is_indexed(spans, link))?;
    }
    for span in indexed(spans) {
        ensure(spans.fit.holds(span), 4, span.start())?;
    }
    let (listed, in_tree) = (listed(spans)?, in_tree(spans)?);
    ensure(listed + in_tree == indexed(spans).count(), 4, 0)
}

/// The spans that belong in the index.
fn indexed<B>(spans: &Spans<B>) -> impl Iterator<Item = Span> {
    spans.iter().filter(|&span| span.is(Kind::Free) && spans.top != Some(span))
}

/// Checks that a link of the index leads to a span that belongs there.
fn is_indexed<B>(spans: &Spans<B>, link: Span) -> Result<(), Corruption> {
    let sound = spans.map.is_record(link) && link.is(Kind::Free) && spans.top != Some(link);
    ensure(sound, 4, link.address())
}

/// How many spans are in the lists. Checks that each is in the list of its length, and linked both ways.
fn listed<B>(spans: &Spans<B>) -> Result<usize, Corruption> {
    let (fit, mut found) = (&spans.fit, 0);
    for (index, &head) in fit.lists.iter().enumerate() {
        ensure(head.is_some() == (fit.occupied & 1 << index != 0), 4, head.map_or(0, Span::address))?;
        let (mut previous, mut next) = (None, head);
        while let Some(span) = next {
            found += 1;
            let sound = span.page_count() == index + 1 && span.links().left.get() == previous;
            ensure(sound && found <= fit.most(), 4, span.start())?;
            (previous, next) = (next, span.links().right.get());
        }
    }
    Ok(found)
}

/// How many spans are in the tree. Checks the order of their keys and priorities.
fn in_tree<B>(spans: &Spans<B>) -> Result<usize, Corruption> {
    let tree = &spans.fit.tree;
    let (mut found, mut links) = (0, tree.root().is_some() as usize);
    for span in indexed(spans).filter(|span| !is_listed(span.page_count())) {
        found += 1;
        for child in [span.links().left.get(), span.links().right.get()].into_iter().flatten() {
            links += 1;
            ensure(!is_listed(child.page_count()) && tree.may_be_below(span, child), 4, child.start())?;
        }
    }
    ensure(links == found, 4, tree.root().map_or(0, Span::address))?;
    Ok(found)
}
