//! What the types promise: which can be sent and shared, and what all of them have.

use hmalloc::brk::{self, Arena, Automatic, Bytes, Emulated, Limited, Linux, OwnBreak, Reserved};
use hmalloc::*;
use std::fmt::Debug;
use std::hash::Hash;
use std::panic::{RefUnwindSafe, UnwindSafe};

fn sends<T: Send>() {}
fn shares<T: Send + Sync>() {}
fn plain<T: Debug + Copy + Eq + Hash + Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + 'static>() {}
fn fails<T: std::error::Error + Send + Sync + 'static>() {}
fn begins<T: Default + Debug>() {}

#[test]
fn heaps_can_be_sent_and_shared_as_they_say() {
    shares::<Hmalloc>();
    shares::<Hmalloc<Futex, Bytes>>();
    shares::<Hmalloc<Futex, Limited<Automatic>>>();
    shares::<Hmalloc<SingleThreaded>>();
    shares::<SharedHeap>();
    sends::<LocalHeap>();
    sends::<Heap<Linux>>();
    sends::<Heap<OwnBreak>>();
    sends::<Heap<Reserved>>();
    sends::<Heap<Emulated<'static>>>();
    shares::<Arena<4096>>();
}

#[test]
fn plain_data_is_plain() {
    plain::<Block>();
    plain::<BlockState>();
    plain::<Corruption>();
    plain::<Misuse>();
    plain::<MisuseKind>();
    plain::<OutOfMemory>();
    plain::<Policy>();
    plain::<ResizeError>();
    plain::<SpanInfo>();
    plain::<SpanKind>();
    plain::<Stats>();
    plain::<Turn>();
    plain::<brk::Refused>();
    plain::<brk::Source>();
    plain::<Linux>();
    fails::<Corruption>();
    fails::<Misuse>();
    fails::<OutOfMemory>();
    fails::<ResizeError>();
    fails::<brk::Refused>();
}

#[test]
fn what_can_begin_empty_does() {
    begins::<Hmalloc>();
    begins::<LocalHeap>();
    begins::<SharedHeap>();
    begins::<Heap<Automatic>>();
    begins::<Policy>();
    begins::<Stats>();
    begins::<Automatic>();
    begins::<OwnBreak>();
    begins::<Reserved>();
    begins::<Linux>();
    begins::<Arena<4096>>();
    assert_eq!(Policy::default(), Policy::Abort);
}
