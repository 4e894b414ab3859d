// error[E0597]: `arena` does not live long enough
fn main() {
    let mut heap;
    {
        let mut arena = vec![MaybeUninit::uninit(); 1 << 20];
        heap = Heap::new(Emulated::new(&mut arena));
    }
    heap.allocate(Layout::new::<u64>()).unwrap();
}
