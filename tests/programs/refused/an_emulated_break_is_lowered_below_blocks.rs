// error[E0133]: call to unsafe function `…foreign_move_below` is unsafe
fn main() {
    let mut arena = vec![MaybeUninit::uninit(); 1 << 20];
    let mut heap = Heap::new(Emulated::new(&mut arena));
    heap.brk_mut().foreign_move_below(isize::MIN);
}
