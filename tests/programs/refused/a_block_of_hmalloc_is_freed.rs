// error[E0133]: call to unsafe function `…free` is unsafe
// error[E0133]: call to unsafe function `…resize` is unsafe
// error[E0133]: call to unsafe function `…free_sized` is unsafe
fn main() {
    let heap = Hmalloc::new();
    let block = heap.allocate(Layout::new::<u64>()).unwrap().as_ptr();
    heap.free(block, |_| ());
    heap.resize(block, Layout::new::<u64>());
    heap.free_sized(block, Layout::new::<u64>());
}
