// error[E0133]: call to unsafe function `Hmalloc::<Futex, B>::after_fork` is unsafe
fn main() {
    Hmalloc::new().after_fork();
}
