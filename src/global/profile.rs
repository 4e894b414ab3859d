//! Beginning to sample, and adding the stacks of samples to the profile.

use super::Hmalloc;
use super::turn::ByHandle;
use crate::global::lock::Lock;
use crate::ground::company::if_threads;
use crate::ground::guards::Guards;
use crate::ground::profiling::{Profiling, Unnamed};
use crate::ground::sites::{DEPTH_MAX, Sites};
use crate::heap::Heap;
use crate::kernel::backtrace;
use crate::kernel::brk::{Brk, map_alone};
use crate::look::profile::Profile;
use crate::threads::OwnTier;
use crate::tier::Tier;
use crate::tier::alone::OthersOfNone;

/// The mean number of bytes from a sample to the next, unless another is chosen.
pub(crate) const MEAN: usize = 512 << 10;

/// The same where blocks are sampled only to guard them.
pub(crate) const GUARDS_MEAN: usize = 2 << 20;

/// How a heap's requests are sampled: for [`Hmalloc::start_profile`].
///
/// ```
/// use hmalloc::Sampling;
///
/// let finer = Sampling::new().every(64 << 10);
/// # let _ = finer;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Sampling {
    mean: usize,
    seed: Option<u64>,
    guarded: bool,
}

impl Default for Sampling {
    fn default() -> Self {
        Self::new()
    }
}

impl Sampling {
    /// One sample in 512 KiB.
    pub const fn new() -> Self {
        Self { mean: MEAN, seed: None, guarded: false }
    }

    /// One sample in `bytes` bytes, on average; the distance from one to the next is distributed exponentially, so each byte is
    /// as likely to be sampled as any other. With 1, or 0, each block is a sample: exact, for small programs, because a block
    /// takes at least a page of 16 KiB of addresses and a kernel page of memory then.
    ///
    /// ```
    /// let exact = hmalloc::Sampling::new().every(1);
    /// # let _ = exact;
    /// ```
    pub const fn every(mut self, bytes: usize) -> Self {
        self.mean = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// Begins the random numbers with `seed`, so that two runs of a program with one thread take the same samples. Without it, the
    /// seed is an address.
    ///
    /// ```
    /// let same = hmalloc::Sampling::new().seed(7);
    /// # let _ = same;
    /// ```
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Puts sampled blocks of up to 56 KiB between inaccessible pages, and makes them inaccessible when they are freed, until 256
    /// others were freed: so a write or read beyond the end of such a block, more than a kernel page before it, or after it was
    /// freed faults where it happens. A handler for SIGSEGV and SIGBUS writes one line then: which block, how far from it, whether
    /// it was freed, by which threads, and where both happened; then the program's own handler runs, or the process dies. Up to
    /// 15 bytes behind a block are its alignment's, and are not seen. [`usable_size`](Hmalloc::usable_size) is what was asked for.
    ///
    /// The handler is there from the first such block on, on x86_64, aarch64 and riscv64; a program that sets one later has that alone. Up to 768 blocks in use
    /// have guards at a time, and only where the [source](crate::brk::Brk::reopen) can make them. With one block in
    /// 2 MiB a run of Perl took 0.4 % more instructions.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// HEAP.start_profile(hmalloc::Sampling::new().every(2 << 20).guarded()).unwrap();
    /// ```
    pub const fn guarded(mut self) -> Self {
        self.guarded = true;
        self
    }
}

/// A heap that is sampled: what the mapping holds.
struct Sampled {
    sites: Sites,
    guards: Guards,
    /// What the heap's own tier counts with: it has no company.
    own: OthersOfNone,
}

impl<L: Lock, B: Brk> Hmalloc<L, B> {
    /// Begins to sample the heap's requests, so that [`profile`](Self::profile) says where its memory was asked for. The blocks
    /// that there are already are not in it. If it was begun before with the same mean, it goes on, with or without guards as it began;
    /// with another mean this is refused.
    ///
    /// A sampled request gets pages of its own, and its stack is looked at: some 30,000 instructions. Others take a tenth more
    /// while requests are sampled, if the program does nothing but allocate and free blocks of many sizes: each word of slots is
    /// counted when it is claimed. Without this call there is no instruction more on the common
    /// path. The table of stacks is a mapping of 6 MiB that stays, of which only what is used takes memory.
    ///
    /// Where the stacks come from, and what a program needs for that, says [`Profile`]. Without the cargo feature `threads`
    /// nothing is sampled.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`](crate::OutOfMemory) if there is no memory for the table, a profile with another mean is there already, or the
    /// heap is in [checked mode](crate::Checks), in which nothing is sampled or guarded.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// use hmalloc::Sampling;
    ///
    /// HEAP.start_profile(Sampling::new().every(1)).unwrap();
    /// let block = HEAP.allocate(core::alloc::Layout::new::<[u64; 100]>()).unwrap();
    /// let mut text = String::new();
    /// HEAP.profile().unwrap().write_leaks(&mut text).unwrap();
    /// assert!(text.starts_with("hmalloc: 800 bytes in 1 blocks"), "{text}");
    /// # let _ = block;
    /// ```
    pub fn start_profile(&self, sampling: Sampling) -> Result<(), crate::OutOfMemory> {
        if !cfg!(feature = "threads") {
            return Err(crate::OutOfMemory);
        }
        let begun = self.while_stopped(|heap| {
            let profiling = match heap.spans.profiling {
                _ if self.mode.wanted().is_some() => return Err(crate::OutOfMemory),
                Some(before) if before.sites.mean() == sampling.mean => before,
                Some(_) => return Err(crate::OutOfMemory),
                None => begin(heap, sampling)?,
            };
            let guards = profiling.guards.filter(|_| sampling.guarded);
            heap.tier.sample_with(profiling.sites);
            if let Some(world) = self.lock.world() {
                for own in world.tiers() {
                    // SAFETY: its owner is stopped, or in the middle of an operation that it never ends.
                    unsafe { &mut *own.tier() }.sample_with(profiling.sites);
                }
            }
            Ok(guards)
        });
        if begun?.is_some() {
            explain_faults();
        }
        Ok(())
    }

    /// What the heap's memory was asked for, and where, since [`start_profile`](Self::start_profile); `None` without that. The
    /// answer goes on with the heap: what it writes is what holds when it writes.
    ///
    /// ```
    /// # static HEAP: hmalloc::Hmalloc = hmalloc::Hmalloc::new();
    /// assert!(HEAP.profile().is_none());
    /// ```
    #[must_use]
    pub fn profile(&self) -> Option<Profile<'static>> {
        self.while_stopped(|heap| heap.spans.profiling).map(|profiling| Profile::of(profiling.sites))
    }

    /// Adds the stack of the block that was sampled in a turn to the profile.
    #[inline(always)]
    pub(super) fn name_if_sampled(&self, unnamed: Option<Unnamed>, handle: ByHandle<'_>) {
        if let Some(block) = if_threads(unnamed) {
            self.name_sampled(block, handle);
        }
    }

    /// Begins to sample the requests of a thread that has just got a tier, if the heap's are sampled.
    pub(super) fn sample_new(own: &OwnTier, heap: &Heap<B>) {
        if let Some(sites) = heap.spans.profiling.map(|profiling| profiling.sites).filter(|_| !own.others.is_sampled())
        {
            // SAFETY: the caller has got it, or its handle, and does not use it yet.
            unsafe { &mut *own.tier() }.sample_with(sites);
        }
    }

    /// Adds a stack to what is known of a block: that of the caller, which has just allocated or freed it, outside of any turn: to look at a stack may take locks
    /// of a libc, and allocate.
    #[cold]
    #[inline(never)]
    pub(super) fn name_sampled(&self, block: Unnamed, handle: ByHandle<'_>) {
        let mut stack = [0; DEPTH_MAX];
        let depth = backtrace::capture(&mut stack);
        // A handler that gets no turn leaves its block uncounted.
        let _ = self.in_center(handle, |work| work.spans.name_sampled(block, &stack[..depth]));
        take_faults();
    }
}

/// Has faults at guarded blocks explained, where there is a way.
fn explain_faults() {
    #[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
    crate::look::profile::faults::explain();
}

/// Has the signals of faults handled from the first sampled block on, where there is a way.
fn take_faults() {
    #[cfg(any(target_os = "linux", target_os = "android", all(target_os = "none", feature = "linux")))]
    crate::look::profile::faults::take();
}

/// Maps and begins what sampling works with.
fn begin<B: Brk>(heap: &mut Heap<B>, sampling: Sampling) -> Result<Profiling, crate::OutOfMemory> {
    // By the kernel itself: a profile outlives the heap, and with it the memory of a source that is borrowed.
    let mapping = map_alone(size_of::<Sampled>()).map_err(|_| crate::OutOfMemory)?;
    // SAFETY: the mapping is zero, is never unmapped, and no other code uses it; zeros are a table and the rest.
    let sampled = unsafe { &*core::ptr::with_exposed_provenance::<Sampled>(mapping) };
    // SAFETY: as above.
    heap.tier.others = Some(unsafe { sampled.own.begin() });
    let stack = 0_u8;
    sampled.sites.begin(sampling.mean, sampling.seed.unwrap_or((&raw const stack).addr() as u64));
    if sampling.guarded {
        sampled.guards.begin(&sampled.sites);
    }
    let guards = sampling.guarded.then_some(&sampled.guards);
    Ok(*heap.spans.profiling.insert(Profiling { sites: &sampled.sites, guards }))
}

impl Tier {
    /// Begins to sample the tier's requests. Its owner is the caller, or stopped.
    pub(crate) fn sample_with(&mut self, sites: &Sites) {
        let number = self.number;
        if let Some(others) = self.company() {
            // So that the count begins with the next slot.
            self.classes.iter_mut().for_each(crate::tier::class::Class::unclaim);
            others.begin_sampling(sites.mean(), sites.seed_of(number));
        }
    }
}
