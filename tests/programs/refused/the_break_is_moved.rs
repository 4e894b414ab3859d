// error[E0133]: call to unsafe function `…move_break` is unsafe
fn main() {
    let end = Linux.query().unwrap();
    Linux.move_break(end, end - 4096).unwrap();
}
