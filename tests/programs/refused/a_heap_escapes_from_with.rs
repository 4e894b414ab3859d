// error[E0521]: borrowed data escapes outside of closure
fn main() {
    static HEAP: Hmalloc = Hmalloc::new();
    let mut escaped = None;
    HEAP.with(|heap| escaped = Some(heap));
    escaped.unwrap().check().unwrap();
}
