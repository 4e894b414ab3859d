//! Doubly linked lists of spans, through `left` and `right`: free spans of one length, slabs of one size class.
//!
//! Links lie in headers. Before a list writes through one, it looks whether the link leads back: a forged or torn one
//! ends the process instead of becoming a write at a forged address. It costs a comparison each, in cache lines that
//! are written anyway.

use crate::ground::corrupt::corrupt;
use crate::ground::header::Span;

/// Puts a span that is on no list before all others of the list that starts at `head`. The list is one of those that
/// `invariant` is about.
pub(crate) fn push(head: &mut Option<Span>, span: Span, invariant: u8) {
    if let Some(second) = *head {
        if second.left.get().is_some() {
            corrupt(invariant, second.address());
        }
        second.left.set(Some(span));
    }
    span.left.set(None);
    span.right.set(*head);
    *head = Some(span);
}

/// Takes a span off the list that starts at `head`.
pub(crate) fn remove(head: &mut Option<Span>, span: Span, invariant: u8) {
    if !is_linked(*head, span) {
        corrupt(invariant, span.address());
    }
    let (left, right) = (span.left.get(), span.right.get());
    match left {
        Some(left) => left.right.set(right),
        None => *head = right,
    }
    if let Some(right) = right {
        right.left.set(left);
    }
}

/// Whether a span's neighbours on the list that starts at `head` lead back to it.
pub(crate) fn is_linked(head: Option<Span>, span: Span) -> bool {
    let before = match span.left.get() {
        Some(left) => left.right.get(),
        None => head,
    };
    let behind = span.right.get().map(|right| right.left.get());
    before == Some(span) && behind.unwrap_or(before) == before
}
