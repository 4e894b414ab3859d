// error[E0502]: cannot borrow `heap` as mutable because it is also borrowed as immutable
fn main() {
    let mut heap = Heap::new(OwnBreak::new());
    let mut blocks = heap.blocks();
    heap.trim(0);
    blocks.next();
}
