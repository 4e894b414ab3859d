//! Where a heap's memory comes from.
//!
//!     source automatic | own

use company::{HEAP, KIB, MIB, Random, finish, word};
use hmalloc::brk::{Brk, Refused, Source};
use hmalloc::{Futex, Hmalloc};
use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::thread;

fn main() {
    match word(1).as_str() {
        "automatic" => println!("{:?}", HEAP.stats().source),
        "own" => own(),
        other => panic!("no such program: {other}"),
    }
    finish();
}

const ROOM: usize = 32 * MIB;

/// The file that all blocks of [`SHARED`] are in.
static FILE: AtomicI32 = AtomicI32::new(-1);
static START: OnceLock<usize> = OnceLock::new();

/// A break of the program's own: in a file that other programs could map as well.
struct FileBreak {
    below: usize,
}

static SHARED: Hmalloc<Futex, FileBreak> = Hmalloc::with_source(FileBreak { below: 0 });

fn start() -> usize {
    *START.get_or_init(|| {
        // SAFETY: a new file, mapped at an address that the kernel chooses.
        let mapping = unsafe {
            let file = libc::memfd_create(c"heap".as_ptr(), 0);
            assert!(file >= 0 && libc::ftruncate(file, ROOM as _) == 0);
            FILE.store(file, Relaxed);
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), ROOM, access, libc::MAP_SHARED, file, 0)
        };
        assert_ne!(mapping, libc::MAP_FAILED);
        mapping.expose_provenance()
    })
}

// SAFETY: the break stays inside one mapping that is only the heap's. What is raised over is cleared. There is one value.
unsafe impl Brk for FileBreak {
    fn query(&self) -> Result<usize, Refused> {
        Ok(start() + self.below)
    }

    unsafe fn move_break(&mut self, from: usize, to: usize) -> Result<(), Refused> {
        let below = to.checked_sub(start()).filter(|&below| below <= ROOM).ok_or(Refused)?;
        if from != start() + self.below {
            return Err(Refused);
        }
        if below > self.below {
            // SAFETY: inside of the mapping, above the break.
            unsafe { std::ptr::with_exposed_provenance_mut::<u8>(from).write_bytes(0, to - from) };
        }
        self.below = below;
        Ok(())
    }

    fn map(&mut self, _: usize) -> Result<usize, Refused> {
        Err(Refused)
    }

    unsafe fn unmap(&mut self, _: usize, _: usize) -> Result<(), Refused> {
        Err(Refused)
    }

    unsafe fn discard(&mut self, _: usize, _: usize) -> Result<(), Refused> {
        Err(Refused)
    }

    fn page_size(&self) -> usize {
        4096
    }
}

/// Threads work in the heap over the file; what they write is in the file.
fn own() {
    let threads: Vec<_> =
        (1..=4).map(|id| thread::spawn(move || (0..200).for_each(|round| use_file(id, round)))).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread ends"));
    let stats = SHARED.stats();
    assert_eq!((SHARED.check(), stats.source, stats.live_blocks), (Ok(()), Source::Other, 0));
    assert!(stats.heap_bytes <= ROOM && stats.mapped_bytes == 0, "{stats:?}");
    // More than there is is an answer.
    assert!(SHARED.allocate(Layout::from_size_align(ROOM, 16).expect("a layout")).is_err());
    assert_eq!(SHARED.check(), Ok(()));
}

fn use_file(id: u8, round: usize) {
    let mut random = Random::new(usize::from(id) * 1000 + round);
    let blocks: [(*mut u8, Layout); 16] = std::array::from_fn(|_| {
        let layout = Layout::from_size_align(1 + random.below(100 * KIB), 16).expect("a layout");
        // SAFETY: the size is not 0.
        let block = unsafe { SHARED.alloc_zeroed(layout) };
        assert!(!block.is_null(), "there is room");
        // SAFETY: as long as its layout says.
        unsafe {
            let zero = std::slice::from_raw_parts(block, layout.size()).iter().all(|&byte| byte == 0);
            assert!(zero, "new memory is zero");
            block.write_bytes(id, layout.size());
        }
        (block, layout)
    });
    for (block, layout) in blocks {
        let (mut last, offset) = (0_u8, block.addr() - start() + layout.size() - 1);
        // SAFETY: one byte is read into one; the block is freed once.
        unsafe {
            assert_eq!(libc::pread(FILE.load(Relaxed), (&raw mut last).cast::<c_void>(), 1, offset as _), 1);
            SHARED.dealloc(block, layout);
        }
        assert_eq!(last, id, "what was written is in the file");
    }
}
