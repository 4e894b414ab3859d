// error[E0597]: `arena` does not live long enough
fn main() {
    let arena = Arena::<4096>::new();
    let bytes = Bytes::new(&arena);
}
