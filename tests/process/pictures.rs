//! Looking at the global heap from the program that lives in it: everything that is printed may allocate meanwhile.

use super::HEAP;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use support::child::scenario;

/// What hangs or dies here does so in a process of its own.
#[test]
fn a_program_prints_its_own_heap() {
    scenario(&a_program_prints_its_own_heap, || {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        drop((0..100_usize).map(|size| vec![1_u8; size * 50]).collect::<Vec<_>>());
                    }
                });
            }
            for _ in 0..50 {
                println!("{}\n{}\n{}", HEAP.stats(), HEAP.histogram(), HEAP.map());
                let mut text = String::new();
                HEAP.stats().write_json(&mut text).expect("a string takes all");
                HEAP.stats().write_prometheus(&mut text).expect("a string takes all");
                println!("{text} {:?} {:?}", HEAP.map(), HEAP.check());
            }
            done.store(true, Relaxed);
        });
    });
}
