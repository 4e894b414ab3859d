// error[E0382]: use of moved value: `own`
// error[E0382]: use of moved value: `bytes`
fn main() {
    static ARENA: Arena<4096> = Arena::new();
    let (own, bytes) = (OwnBreak::new(), Bytes::new(&ARENA));
    let heaps = [Heap::new(own), Heap::new(own)];
    let others = [Heap::new(bytes), Heap::new(bytes)];
}
