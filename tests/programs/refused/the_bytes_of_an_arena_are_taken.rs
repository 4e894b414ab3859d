// error[E0616]: field `bytes` of struct `Arena` is private
// error[E0616]: field `taken` of struct `Arena` is private
fn main() {
    static ARENA: Arena<4096> = Arena::new();
    let bytes = ARENA.bytes.get();
    let taken = &ARENA.taken;
}
