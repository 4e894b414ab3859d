//! Doubly linked lists through headers: free spans of one length, slabs of one size class.
//!
//! Before a list writes through a link, it checks that the link leads back. So an overwritten link ends the process
//! instead of becoming a write at a forged address. That costs one comparison each, in cache lines that are written
//! anyway.

use crate::ground::corrupt::corrupt;
use core::cell::Cell;
use core::hint::select_unpredictable;

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

    /// Address of its header: not 0, and another one for each header.
    fn address(self) -> usize;
}

/// Pushes `new`, which is on no list, to the front of the list that starts at `head`. `invariant` is the number of the
/// one that binds this list.
#[cfg_attr(feature = "speed", inline(always))]
#[cfg_attr(not(feature = "speed"), inline(never))]
pub(crate) fn push<T: Linked>(head: &mut Option<T>, new: T, invariant: u8) {
    let second = *head;
    // Where there is no second one, what is read and written in its place is the new one's own link, which may hold anything.
    let behind = select_unpredictable(second.is_some(), second.unwrap_or(new), new);
    let (back, left) = (&behind.links().left, &new.links().left);
    // One comparison, of addresses: two tests would be two branches, of which the first cannot be predicted.
    if address(back.get()) != select_unpredictable(second.is_some(), 0, address(left.get())) {
        corrupt(invariant, behind.address());
    }
    back.set(Some(new));
    left.set(None);
    new.links().right.set(second);
    *head = Some(new);
}

/// Puts `new`, which is on no list, behind the first of the list that starts at `head`; or to its front, if that is empty.
#[cfg_attr(feature = "speed", inline)]
#[cfg_attr(not(feature = "speed"), inline(never))]
pub(crate) fn push_behind<T: Linked>(head: &mut Option<T>, new: T, invariant: u8) {
    let Some(first) = *head else { return push(head, new, invariant) };
    let third = first.links().right.get();
    // Where there is no third one, what is read and written in its place is the new one's own link.
    let (left, back) = (&new.links().left, &third.unwrap_or(new).links().left);
    left.set(Some(first));
    if back.get() != Some(first) || first.links().left.get().is_some() {
        corrupt(invariant, first.address());
    }
    back.set(Some(new));
    left.set(Some(first));
    new.links().right.set(third);
    first.links().right.set(Some(new));
}

/// Removes `first` from the list that starts with it.
#[cfg_attr(feature = "speed", inline(always))]
#[cfg_attr(not(feature = "speed"), inline(never))]
pub(crate) fn pop<T: Linked>(head: &mut Option<T>, first: T, invariant: u8) {
    let second = first.links().right.get();
    // Where there is no second one, what is read and written in its place is the first one's own link.
    let back = &select_unpredictable(second.is_some(), second.unwrap_or(first), first).links().left;
    let expected = select_unpredictable(second.is_some(), first.address(), 0);
    // By addresses: to compare two links that may be `None` takes two branches that cannot be predicted.
    if *head != Some(first) || address(back.get()) != expected {
        corrupt(invariant, first.address());
    }
    back.set(None);
    *head = second;
}

/// Removes `gone` from the list that starts at `head`.
///
/// Whether it is the first or the last one cannot be predicted, as most lists of free spans have one or two. So there is no
/// branch for it; a mispredicted one takes as long as all of this.
#[cfg_attr(feature = "speed", inline(always))]
#[cfg_attr(not(feature = "speed"), inline(never))]
pub(crate) fn remove<T: Linked>(head: &mut Option<T>, gone: T, invariant: u8) {
    let (left, right) = (gone.links().left.get(), gone.links().right.get());
    let forth = select_unpredictable(left.is_some(), &left.unwrap_or(gone).links().right, Cell::from_mut(head));
    let back = select_unpredictable(right.is_some(), &right.unwrap_or(gone).links().left, forth);
    if forth.get() != Some(gone) || back.get() != Some(gone) {
        corrupt(invariant, gone.address());
    }
    // In this order: they are the same link if there is none on the right.
    back.set(left);
    forth.set(right);
}

/// Address of the header that a link leads to, or 0.
#[inline(always)]
fn address<T: Linked>(link: Option<T>) -> usize {
    link.map_or(0, T::address)
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
