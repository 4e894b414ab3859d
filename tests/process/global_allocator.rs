//! A program of the standard library, this very test binary with its harness and threads, on `Hmalloc`.

use crate::HEAP;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, Mutex, mpsc};

/// Fails unless the pointer is a block of `HEAP`: what the tests below prove, they prove about that heap.
fn assert_ours<T>(pointer: *const T) {
    let known = HEAP.inspect(|heap| heap.usable_size(pointer.cast()));
    assert!(known.is_ok(), "{known:?}");
}

#[test]
fn collections_and_strings() {
    let mut words = BTreeMap::new();
    let mut text = String::new();
    for number in 0..20_000_u32 {
        write!(text, "{} ", number % 977).expect("a string takes all");
    }
    for word in text.split_whitespace() {
        *words.entry(word.to_owned()).or_insert(0_u32) += 1;
    }
    assert_eq!(words.len(), 977);
    assert_eq!(words.values().sum::<u32>(), 20_000);
    let by_hash: HashMap<_, _> = words.iter().map(|(word, count)| (word.clone(), *count)).collect();
    assert!(words.iter().all(|(word, count)| by_hash[word] == *count));
    assert_ours(text.as_ptr());
    let aligned: Vec<Box<Aligned>> = (0..100).map(|number| Box::new(Aligned([number; 64]))).collect();
    for (number, block) in (0..).zip(&aligned) {
        assert!(std::ptr::from_ref(&**block).is_aligned() && block.0 == [number; 64]);
        assert_ours(&raw const **block);
    }
    assert_eq!(HEAP.check(), Ok(()));
}

#[repr(align(512))]
struct Aligned([u8; 64]);

#[test]
fn zeroed_and_grown_vectors() {
    let mut grown = Vec::new();
    for number in 0..300_000_u64 {
        grown.push(number);
    }
    assert!(grown.iter().zip(0..).all(|(&a, b)| a == b));
    grown.truncate(10);
    grown.shrink_to_fit();
    assert_eq!(grown, (0..10).collect::<Vec<_>>());
    for _ in 0..4 {
        let zeroed = vec![0_u8; 1 << 20];
        assert!(zeroed.iter().all(|&byte| byte == 0));
        let mut dirty = zeroed;
        dirty.fill(0xFF);
    }
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn threads_that_hand_memory_on() {
    let (sender, receiver) = mpsc::channel::<VecDeque<String>>();
    let total = Arc::new(Mutex::new(0));
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for round in 0..500 {
                    let parcel = (0..20).map(|item| format!("{worker}/{round}/{item}").repeat(item % 5 + 1));
                    sender.send(parcel.collect()).expect("the receiver lives");
                }
            })
        })
        .collect();
    drop(sender);
    let counted = Arc::clone(&total);
    let reader = std::thread::spawn(move || {
        for parcel in receiver {
            assert!(parcel.iter().enumerate().all(|(item, text)| text.matches('/').count() == 2 * (item % 5 + 1)));
            *counted.lock().expect("no panic elsewhere") += parcel.len();
        }
    });
    workers.into_iter().for_each(|worker| worker.join().expect("a worker ends"));
    reader.join().expect("the reader ends");
    assert_eq!(*total.lock().expect("no panic elsewhere"), 4 * 500 * 20);
    assert_eq!(HEAP.check(), Ok(()));
    HEAP.trim(0);
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn more_than_there_is_is_refused() {
    let mut bytes: Vec<u8> = Vec::new();
    assert!(bytes.try_reserve_exact(isize::MAX as usize).is_err());
    bytes.push(1);
    assert!(bytes.try_reserve_exact(1 << 50).is_err(), "more than an address space");
    assert_eq!(bytes, [1]);
    assert_eq!(HEAP.check(), Ok(()));
}

#[test]
fn statistics_follow_what_is_live() {
    let before = HEAP.stats();
    // Other tests may run in other threads of this process: only what they cannot change is asserted.
    assert!(before.live_blocks > 0 && before.live_bytes <= before.heap_bytes);
    let big = vec![1_u8; 8 << 20];
    let stats = HEAP.stats();
    assert!(stats.live_bytes >= big.len() && stats.peak_heap_bytes >= stats.heap_bytes, "{stats:?}");
    assert_eq!(stats.heap_bytes, stats.live_bytes + stats.free_bytes + stats.metadata_bytes);
}
