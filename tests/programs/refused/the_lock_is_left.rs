// error[E0133]: call to unsafe function `…after_fork` is unsafe
fn main() {
    Hmalloc::new().after_fork();
}
