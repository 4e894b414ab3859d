// error[E0200]: the trait `…Brk` requires an `unsafe impl` declaration
// error: implementation of an `unsafe` method
struct Mine;
impl Brk for Mine {
    fn query(&self) -> Result<usize, Refused> { Ok(4096) }
    unsafe fn move_break(&mut self, _: usize, _: usize) -> Result<(), Refused> { Ok(()) }
    fn map(&mut self, _: usize) -> Result<usize, Refused> { Ok(4096) }
    unsafe fn unmap(&mut self, _: usize, _: usize) -> Result<(), Refused> { Ok(()) }
    unsafe fn discard(&mut self, _: usize, _: usize) -> Result<(), Refused> { Ok(()) }
    fn page_size(&self) -> usize { 4096 }
}
fn main() {}
