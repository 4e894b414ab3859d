// error[E0382]: use of moved value: `own`
// error[E0382]: use of moved value: `bytes`
// error[E0599]: no method named `clone` found for struct `Automatic`
fn main() {
    static ARENA: Arena<4096> = Arena::new();
    let (own, bytes) = (OwnBreak::new(), Bytes::new(&ARENA));
    let heaps = [Heap::new(own), Heap::new(own)];
    let others = [Heap::new(bytes), Heap::new(bytes)];
    let copy = Automatic::new().clone();
}
