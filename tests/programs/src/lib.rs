//! What the programs share: the heap they all run on, blocks that remember what was written into them, and the process
//! as the kernel sees it.

use hmalloc::brk::Brk;
use hmalloc::{Heap, Hmalloc, OutOfMemory};
use std::alloc::Layout;
use std::ffi::CStr;

/// Every program that uses this library runs on it.
#[global_allocator]
pub static HEAP: Hmalloc = Hmalloc::new();

pub const KIB: usize = 1 << 10;
pub const MIB: usize = 1 << 20;

/// The `index`th argument as a number. Stops the program with a line if it is not one.
pub fn number(index: usize) -> usize {
    let argument = std::env::args().nth(index);
    argument.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("argument {index} is a number"))
}

/// The `index`th argument.
pub fn word(index: usize) -> String {
    std::env::args().nth(index).unwrap_or_default()
}

/// Numbers that look random and are the same in every run.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: usize) -> Self {
        Self((seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `most`.
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

/// Blocks of many sizes from the global heap, each full of a byte that says whose it is.
#[derive(Debug)]
pub struct Pile {
    blocks: Vec<Vec<u8>>,
    random: Random,
    byte: u8,
}

impl Pile {
    pub fn new(seed: usize) -> Self {
        Self { blocks: Vec::new(), random: Random::new(seed), byte: (seed % 251) as u8 + 1 }
    }

    /// Adds a block of up to `most` bytes, or grows one that is there.
    pub fn grow(&mut self, most: usize) {
        let size = 1 + self.random.below(most);
        if self.random.below(4) == 0 && !self.blocks.is_empty() {
            let at = self.random.below(self.blocks.len());
            self.blocks[at].resize(size, self.byte);
        } else {
            self.blocks.push(vec![self.byte; size]);
        }
    }

    /// Takes a block away.
    pub fn shrink(&mut self) {
        if !self.blocks.is_empty() {
            let at = self.random.below(self.blocks.len());
            let block = self.blocks.swap_remove(at);
            self.assert_intact(&block);
        }
    }

    /// Grows to `count` blocks, verifies them, and goes back to a quarter.
    pub fn churn(&mut self, count: usize, most: usize) {
        while self.blocks.len() < count {
            self.grow(most);
        }
        self.verify();
        while self.blocks.len() > count / 4 {
            self.shrink();
        }
    }

    pub fn verify(&self) {
        self.blocks.iter().for_each(|block| self.assert_intact(block));
    }

    fn assert_intact(&self, block: &[u8]) {
        assert!(block.iter().all(|&byte| byte == self.byte), "a block has lost its content");
    }
}

/// Blocks of a heap of one's own, written at both ends and once a page.
#[derive(Debug, Default)]
pub struct Holding(Vec<(usize, usize)>);

impl Holding {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a block of `size` bytes, at least 1, and writes `byte` all over it.
    pub fn take<B: Brk>(&mut self, heap: &mut Heap<B>, size: usize, byte: u8) -> Result<(), OutOfMemory> {
        let block = heap.allocate(Layout::from_size_align(size, 16).expect("a size"))?;
        touched(size).for_each(|at| {
            // SAFETY: inside of the block.
            unsafe { block.add(at).write(byte) }
        });
        self.0.push((block.as_ptr().expose_provenance(), size));
        Ok(())
    }

    /// Frees all blocks after a look at what is in them.
    pub fn free<B: Brk>(&mut self, heap: &mut Heap<B>, byte: u8) {
        for (address, size) in self.0.drain(..) {
            let block = std::ptr::with_exposed_provenance_mut::<u8>(address);
            // SAFETY: inside of the block.
            let lost = touched(size).find(|&at| unsafe { block.add(at).read() } != byte);
            assert_eq!(lost, None, "the heap of {byte} lost a byte of its block of {size} at {address:#x}");
            // SAFETY: the block is not used any more.
            assert_eq!(unsafe { heap.free(block) }, Ok(()));
        }
    }
}

fn touched(size: usize) -> impl Iterator<Item = usize> {
    (0..size).step_by(4 * KIB).chain([size - 1])
}

/// A value of /proc/self/status, in bytes. Allocates nothing, so that it can be asked where memory is scarce.
pub fn status(key: &str) -> usize {
    value(c"/proc/self/status", key)
}

/// Bytes of physical memory that the process occupies, as the sum over its pages: what the status says may be some MiB off, more
/// with more processors. Allocates nothing.
pub fn resident() -> usize {
    value(c"/proc/self/smaps_rollup", "Rss")
}

fn value(file: &CStr, key: &str) -> usize {
    let mut text = [0_u8; 4096];
    let length = read(file, &mut text);
    let text = std::str::from_utf8(&text[..length]).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).expect("the key is there");
    line.split_whitespace().next().and_then(|word| word.parse::<usize>().ok()).expect("a number") * KIB
}

fn read(path: &CStr, into: &mut [u8]) -> usize {
    // SAFETY: the path is a C string, and at most the buffer is written.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY);
        assert!(file >= 0, "/proc is mounted");
        let length = libc::read(file, into.as_mut_ptr().cast(), into.len());
        libc::close(file);
        usize::try_from(length).expect("readable")
    }
}

/// The type of the constants that name a limit.
#[cfg(target_env = "gnu")]
pub type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
pub type Resource = libc::c_int;

/// Sets a soft limit of the process, or lifts it.
pub fn limit(resource: Resource, bytes: Option<usize>) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is filled by one call and read by the other.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &mut limit), 0);
        limit.rlim_cur = bytes.map_or(limit.rlim_max, |bytes| bytes as libc::rlim_t);
        assert_eq!(libc::setrlimit(resource, &limit), 0);
    }
}

/// Does `child` in a copy of this process, which must end well.
pub fn fork(child: impl FnOnce()) {
    // SAFETY: the heap answers for itself in the child, which is what is tested; C libraries do so for theirs.
    let process = unsafe { libc::fork() };
    assert!(process >= 0, "fork");
    if process == 0 {
        // A child that waits for ever is ended, and then it did not end well.
        // SAFETY: the default action of SIGALRM ends the process.
        unsafe { libc::alarm(60) };
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        // SAFETY: ends the process, without what it has inherited from its parent for its end.
        unsafe { libc::_exit(if ended.is_ok() { 0 } else { 9 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is written.
    assert_eq!(unsafe { libc::waitpid(process, &mut status, 0) }, process);
    assert_eq!(status, 0, "how the child ended");
}

/// The heap as it has to be at any time.
pub fn assert_sound() {
    assert_eq!(HEAP.check(), Ok(()));
}

/// The last line of a program that came to its end. A program that did not say it has failed.
pub fn finish() {
    assert_sound();
    println!("finished from {:?}", HEAP.stats().source);
}
