// error[E0502]: cannot borrow `heap` as mutable because it is also borrowed as immutable
fn main() {
    let mut heap = LocalHeap::new();
    let mut numbers = allocator_api2::vec::Vec::new_in(&heap);
    numbers.push(1);
    heap.reset();
    println!("{}", numbers[0]);
}
