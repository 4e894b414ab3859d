// error[E0597]: `heap` does not live long enough
fn main() {
    let numbers;
    {
        let heap = LocalHeap::new();
        let mut kept = allocator_api2::vec::Vec::new_in(&heap);
        kept.push(1);
        numbers = kept;
    }
    println!("{}", numbers[0]);
}
