// error[E0624]: associated function `new` is private
// error[E0133]: call to unsafe function `Hmalloc::<SingleThreaded>::single_threaded` is unsafe
fn main() {
    let lock = Futex::new();
    let heap = Hmalloc::single_threaded();
}
