// error[E0133]: call to unsafe function `…discard` is unsafe
// error[E0133]: call to unsafe function `…seal` is unsafe
fn main() {
    let page = vec![1_u8; 4096];
    Automatic::new().discard(page.as_ptr().addr(), 4096);
    Automatic::new().seal(page.as_ptr().addr(), 4096);
}
