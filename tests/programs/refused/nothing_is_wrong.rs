// The control: what the others build on is accepted.
fn main() {
    let mut arena = vec![MaybeUninit::uninit(); 1 << 20];
    let mut heap = Heap::new(Emulated::new(&mut arena));
    let block = heap.allocate(Layout::new::<u64>()).unwrap();
    assert!(heap.usable_size(block.as_ptr()).is_ok());
    heap.brk_mut().foreign_move(-1);
    static ARENA: Arena<4096> = Arena::new();
    let (bytes, own, hmalloc) = (Bytes::new(&ARENA), OwnBreak::new(), Hmalloc::new());
    hmalloc.before_fork();
    assert!(Linux.query().is_ok());
}
