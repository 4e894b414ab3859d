// error[E0597]: `short` does not live long enough
fn main() {
    let mut long = vec![MaybeUninit::uninit(); 1 << 20];
    let mut heap = Heap::new(Emulated::new(&mut long));
    {
        let mut short = vec![MaybeUninit::uninit(); 1 << 20];
        *heap.brk_mut() = Emulated::new(&mut short);
    }
    heap.allocate(Layout::new::<u64>()).unwrap();
}
