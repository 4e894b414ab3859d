// error[E0599]: no method named `with` found
fn main() {
    let heap = LocalHeap::new();
    heap.with(|heap| drop(heap.brk_mut()));
}
