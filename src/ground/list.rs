//! Doubly linked lists through headers: free spans of one length, slabs of one size class.
//!
//! Before a list writes through a link, it checks that the link leads back. So an overwritten link ends the process
//! instead of becoming a write at a forged address. That costs one comparison each, in cache lines that are written
//! anyway.

use crate::ground::corrupt::corrupt;
use core::cell::Cell;

/// Two links to others of the same kind: neighbours on a list, or children in a tree.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Links<T: Copy> {
    /// The previous one on a list, or the left child.
    pub(crate) left: Cell<Option<T>>,
    /// The next one on a list, or the right child.
    pub(crate) right: Cell<Option<T>>,
}

impl<T: Copy> Links<T> {
    pub(crate) const fn none() -> Self {
        Self { left: Cell::new(None), right: Cell::new(None) }
    }
}

/// A handle to a header with links, which can be on a list.
pub(crate) trait Linked: Copy + Eq + 'static {
    /// Its links, for as long as its header stands.
    fn links<'a>(self) -> &'a Links<Self>;

    /// Address of its header, for the line that names a broken link.
    fn address(self) -> usize;
}

/// Pushes `new`, which is on no list, to the front of the list that starts at `head`. `invariant` is the number of the
/// one that binds this list.
pub(crate) fn push<T: Linked>(head: &mut Option<T>, new: T, invariant: u8) {
    if let Some(second) = *head {
        if second.links().left.get().is_some() {
            corrupt(invariant, second.address());
        }
        second.links().left.set(Some(new));
    }
    new.links().left.set(None);
    new.links().right.set(*head);
    *head = Some(new);
}

/// Removes `gone` from the list that starts at `head`.
pub(crate) fn remove<T: Linked>(head: &mut Option<T>, gone: T, invariant: u8) {
    if !is_linked(*head, gone) {
        corrupt(invariant, gone.address());
    }
    let (left, right) = (gone.links().left.get(), gone.links().right.get());
    match left {
        Some(left) => left.links().right.set(right),
        None => *head = right,
    }
    if let Some(right) = right {
        right.links().left.set(left);
    }
}

/// Whether the neighbours of `here` on the list that starts at `head` link back to it.
pub(crate) fn is_linked<T: Linked>(head: Option<T>, here: T) -> bool {
    let before = match here.links().left.get() {
        Some(left) => left.links().right.get(),
        None => head,
    };
    let after = here.links().right.get().map(|right| right.links().left.get());
    before == Some(here) && after.unwrap_or(before) == before
}
