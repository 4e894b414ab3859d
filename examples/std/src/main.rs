//! A program of the standard library whose heap is hmalloc: four threads make words, and the main thread frees them.

use std::thread;

#[global_allocator]
static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();

fn main() {
    let before = HEAP.stats().live_blocks;
    let workers = [0, 1, 2, 3].map(|thread| {
        thread::spawn(move || (0..10_000).map(|number| format!("word {number} of thread {thread}")).collect::<Vec<_>>())
    });
    let words = workers.map(|worker| worker.join().expect("the thread ends"));
    let count: usize = words.iter().map(Vec::len).sum();
    let more = HEAP.stats().live_blocks - before;
    println!("{count} words of four threads, in {} blocks or more", more / 10_000 * 10_000);

    drop(words);
    HEAP.trim(0);
    HEAP.check().expect("every invariant of the heap holds");
    assert!(HEAP.stats().heap_bytes < 2 << 20);
    println!("freed by the main thread; the memory is returned");

    if std::env::args().any(|argument| argument == "twice") {
        let word = Box::into_raw(Box::new(*b"a block of 32 bytes, freed twice"));
        // SAFETY: the first one is right. The second is the mistake that is to be seen: the heap names it and dies.
        unsafe {
            drop(Box::from_raw(word));
            drop(Box::from_raw(word));
        }
    }
}
