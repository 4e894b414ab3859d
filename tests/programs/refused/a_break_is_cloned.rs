// error[E0599]: no method named `clone` found for struct `…Automatic
// error[E0599]: no method named `clone` found for struct `…OwnBreak
// error[E0599]: no method named `clone` found for struct `…Bytes
// error[E0599]: no method named `clone` found for struct `…Emulated
fn main() {
    static ARENA: Arena<4096> = Arena::new();
    let mut arena = [MaybeUninit::uninit(); 4096];
    let copies = (Automatic::new().clone(), OwnBreak::new().clone(), Bytes::new(&ARENA).clone());
    let copy = Emulated::new(&mut arena).clone();
}
