// error[E0133]: call to unsafe function `…free` is unsafe
// error[E0133]: call to unsafe function `…resize` is unsafe
fn main() {
    let mut heap = Heap::new(OwnBreak::new());
    let block = heap.allocate(Layout::new::<u64>()).unwrap();
    heap.free(block.as_ptr());
    heap.resize(block.as_ptr(), Layout::new::<u64>());
}
