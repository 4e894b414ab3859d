//! What sampled blocks say of a heap: a [`Profile`], which writes itself in pprof's format, as collapsed stacks, and as a list of
//! what was not freed. Nothing is allocated in the heap for it.

#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
pub(crate) mod callers;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
pub(crate) mod faults;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
pub(crate) mod files;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod frames;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod pprof;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod proto;
mod snapshot;
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
mod text;

use crate::ground::sites::{Amount, Site, Sites};
use core::fmt;
pub use snapshot::Snapshot;

/// Which number a list of stacks has behind each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// How many blocks were allocated.
    AllocObjects,
    /// How many bytes were asked for.
    AllocSpace,
    /// How many of the blocks are in use.
    InuseObjects,
    /// How many bytes were asked for in those.
    InuseSpace,
}

/// Where a heap's memory was asked for, by what its samples stand for: [`Hmalloc::profile`](crate::Hmalloc::profile).
///
/// Blocks and bytes are estimates unless [each block](crate::Sampling::every) is a sample: one block stands for `1 / (1 -
/// e^(-slot/mean))`. Of `n` samples the estimate is off by about one part in the square root of `n`. Bytes are those that were
/// asked for. A block that is resized counts as freed, and as allocated anew; but not a small one that stays where it is.
///
/// # Stacks
///
/// They are seen by the unwinder of libgcc or LLVM, which is in each Rust program with `std`, static ones on musl, too. The C
/// library loads `libgcc_s.so.1` when the mode starts. Without an unwinder, as without a libc, they are seen by frame pointers: on
/// x86_64, aarch64 and riscv64, if all of the program is built with `RUSTFLAGS="-C force-frame-pointers=yes"` (C:
/// `-fno-omit-frame-pointer`), and no seccomp filter is installed. A stack has up to 64 frames, from the innermost on. Where none
/// is seen, all that was allocated is one place. 16,383 stacks are told apart; blocks of others are counted without a stack, and
/// the list says how many.
///
/// # Names of functions
///
/// Names are for tools to find: what is written has addresses and the files they come from, with build ids.
///
/// ```text
/// pprof -http=: program heap.pb                        # flame graph, source, in a browser
/// pprof -top -sample_index=inuse_space heap.pb         # a table
/// pprof -top -diff_base=before.pb after.pb             # a difference
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Profile<'a> {
    sites: &'a Sites,
    base: Option<&'a Snapshot>,
}

/// A place in a profile: what was allocated there, and what is in use of it.
#[derive(Debug, Clone, Copy)]
struct Place {
    site: Site,
    allocated: Amount,
    /// What is in use, less what was in use in the base, as signed numbers in 65536ths.
    in_use: InUse,
}

/// What is in use: fewer than nothing, if more was before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct InUse {
    blocks: i64,
    bytes: i64,
    samples: i64,
    sampled_bytes: i64,
}

impl InUse {
    fn of(allocated: Amount, freed: Amount) -> Self {
        let left = allocated.without(freed);
        Self {
            blocks: left.all_blocks() as i64,
            bytes: left.all_bytes() as i64,
            samples: left.blocks as i64,
            sampled_bytes: left.bytes as i64,
        }
    }

    fn without(self, other: Self) -> Self {
        Self {
            blocks: self.blocks - other.blocks,
            bytes: self.bytes - other.bytes,
            samples: self.samples - other.samples,
            sampled_bytes: self.sampled_bytes - other.sampled_bytes,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            blocks: self.blocks + other.blocks,
            bytes: self.bytes + other.bytes,
            samples: self.samples + other.samples,
            sampled_bytes: self.sampled_bytes + other.sampled_bytes,
        }
    }
}

impl Place {
    fn value(&self, value: Value) -> i64 {
        match value {
            Value::AllocObjects => self.allocated.all_blocks() as i64,
            Value::AllocSpace => self.allocated.all_bytes() as i64,
            Value::InuseObjects => self.in_use.blocks,
            Value::InuseSpace => self.in_use.bytes,
        }
    }

    fn is_empty(&self) -> bool {
        self.allocated == Amount::default() && self.in_use == InUse::default()
    }
}

impl Profile<'static> {
    pub(crate) fn of(sites: &'static Sites) -> Self {
        Self { sites, base: None }
    }
}

impl<'a> Profile<'a> {
    /// What was allocated and freed after `base` was taken: blocks of before that are in use no more count as fewer than none.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// use core::alloc::Layout;
    /// use hmalloc::{Sampling, Value};
    ///
    /// HEAP.start_profile(Sampling::new().every(1)).unwrap();
    /// let layout = Layout::new::<[u8; 300]>();
    /// let (first, profile) = (HEAP.allocate(layout).unwrap(), HEAP.profile().unwrap());
    /// let before = profile.snapshot().unwrap();
    /// // SAFETY: nothing uses the block.
    /// unsafe { HEAP.free_sized(first.as_ptr(), layout) }.unwrap();
    /// assert_eq!(profile.total(Value::InuseSpace), 0);
    /// assert_eq!(profile.since(&before).total(Value::InuseSpace), -300);
    /// ```
    #[must_use]
    pub fn since<'b>(&self, base: &'b Snapshot) -> Profile<'b>
    where
        'a: 'b,
    {
        Profile { sites: self.sites, base: Some(base) }
    }

    /// The numbers of all places, for a difference. Takes a mapping of 1 MiB, of which what is used takes memory.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`](crate::OutOfMemory).
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// HEAP.start_profile(hmalloc::Sampling::new()).unwrap();
    /// let profile = HEAP.profile().unwrap();
    /// let before = profile.snapshot()?;
    /// assert_eq!(profile.since(&before).total(hmalloc::Value::AllocObjects), 0);
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot, crate::OutOfMemory> {
        Snapshot::take(self.sites)
    }

    /// The sum over all places.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// HEAP.start_profile(hmalloc::Sampling::new().every(1)).unwrap();
    /// HEAP.allocate(core::alloc::Layout::new::<u64>())?;
    /// assert_eq!(HEAP.profile().unwrap().total(hmalloc::Value::AllocSpace), 8);
    /// # Ok::<(), hmalloc::OutOfMemory>(())
    /// ```
    #[must_use]
    pub fn total(&self, value: Value) -> i64 {
        self.places().map(|place| place.value(value)).sum()
    }

    /// All places in which anything was counted.
    fn places(&self) -> impl Iterator<Item = Place> {
        (0..self.sites.count()).map(|number| self.place(number)).filter(|place| !place.is_empty())
    }

    fn place(&self, number: usize) -> Place {
        let site = self.sites.site(number);
        let (allocated, freed) = self.base.map_or_else(Default::default, |base| base.amounts(number));
        Place {
            site,
            allocated: site.allocated.without(allocated),
            in_use: InUse::of(site.allocated, site.freed).without(InUse::of(allocated, freed)),
        }
    }
}

/// A list of what is in use, for people: as [`write_leaks`](Profile::write_leaks) writes it.
#[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
impl fmt::Display for Profile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_leaks(f)
    }
}
