// error[E0133]: call to unsafe function `…single_threaded` is unsafe
fn main() {
    let heap = Hmalloc::single_threaded();
}
