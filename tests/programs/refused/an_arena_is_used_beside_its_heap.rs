// error[E0502]: cannot borrow `arena` as immutable because it is also borrowed as mutable
fn main() {
    let mut arena = vec![MaybeUninit::<u8>::uninit(); 1 << 20];
    let mut heap = Heap::new(Emulated::new(&mut arena));
    let first = &arena[0];
    heap.allocate(Layout::new::<u64>()).unwrap();
}
