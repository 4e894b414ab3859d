// error[E0133]: call to unsafe function `…unmap` is unsafe
fn main() {
    let start = OwnBreak::new().map(4096).unwrap();
    OwnBreak::new().unmap(start, 4096).unwrap();
}
