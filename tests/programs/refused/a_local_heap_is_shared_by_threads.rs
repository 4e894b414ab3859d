// error[E0277]: … cannot be shared between threads safely
fn main() {
    let heap = LocalHeap::new();
    std::thread::scope(|scope| drop(scope.spawn(|| drop(heap.check()))));
}
