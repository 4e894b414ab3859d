//! A heap that meets limits, and neighbours in its own break.
//!
//!     limits space | data | started | modest | neighbour | neighbours | returned | filtered

use company::{HEAP, KIB, MIB, Pile, Resource, assert_sound, finish, limit, resident, status, word};
use hmalloc::brk::Source;
use std::thread;

fn main() {
    match word(1).as_str() {
        "space" => limited(libc::RLIMIT_AS, "VmSize"),
        "data" => limited(libc::RLIMIT_DATA, "VmData"),
        "started" => started(),
        "modest" => modest(),
        "neighbour" => neighbour(),
        "neighbours" => neighbours(),
        "returned" => returned(),
        "filtered" => filtered(),
        other => panic!("no such program: {other}"),
    }
    assert_eq!(HEAP.stats().source, Source::OwnBreak);
    finish();
}

/// Blocks of half a MiB, written all over, until there are `most` or no more can be had.
fn fill(most: usize) -> Vec<Vec<u8>> {
    let mut blocks = Vec::with_capacity(4096);
    while blocks.len() < most {
        let mut block = Vec::new();
        if block.try_reserve_exact(MIB / 2).is_err() {
            break;
        }
        block.resize(MIB / 2, 0xAA);
        blocks.push(block);
    }
    blocks
}

/// Takes all that a limit leaves, which must be nearly all of `room` bytes and at most what was free before on top of it,
/// and frees it.
fn use_up(room: usize) {
    let mut small = Vec::with_capacity(1000);
    let free = HEAP.stats().free_bytes;
    let blocks = fill(4096);
    let got = blocks.len() * MIB / 2;
    println!("{} of {} KiB", got / KIB, room / KIB);
    assert!(got <= room + free && got >= room / 20 * 19, "{got} of {room}");
    assert_sound();
    assert!(blocks.iter().all(|block| block.iter().all(|&byte| byte == 0xAA)));
    // Smaller requests than the one that was refused are still served, until no page is left, and then refused, too.
    while small.len() < 1000 {
        let mut block: Vec<u8> = Vec::new();
        if block.try_reserve_exact(1000).is_err() {
            break;
        }
        block.resize(1000, 1);
        small.push(block);
    }
    assert!(small.len() >= 10, "only {} blocks of 1000 bytes fit beside those of half a MiB", small.len());
    assert!(got + small.len() * 1000 <= room + free);
    drop((small, blocks));
    HEAP.trim(0);
    assert_sound();
}

/// What else a program does with its address space.
fn others_have_room() {
    let thread = thread::Builder::new().stack_size(MIB).spawn(|| Pile::new(1).churn(20, 20 * KIB));
    thread.expect("a thread can be started").join().expect("it ends");
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the kernel chooses the address, so the mapping replaces nothing.
    let mapping =
        unsafe { libc::mmap(std::ptr::null_mut(), 8 * MIB, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    assert_ne!(mapping, libc::MAP_FAILED, "8 MiB can be mapped");
    // SAFETY: mapped above.
    assert_eq!(unsafe { libc::munmap(mapping, 8 * MIB) }, 0);
}

/// Less than what glibc reserves for the allocations of a thread, which would leave no room for its stack.
const ROOM: usize = 60 * MIB;

/// A limit of the program's own, set when the heap is in use already, and lifted again.
fn limited(resource: Resource, counted: &str) {
    let mut pile = Pile::new(1);
    pile.churn(200, 60 * KIB);
    HEAP.trim(0);
    for _ in 0..3 {
        limit(resource, Some(status(counted) + ROOM));
        use_up(ROOM);
        others_have_room();
        pile.churn(200, 60 * KIB);
        limit(resource, None);
        assert_eq!(fill(4 * ROOM / MIB).len(), 4 * ROOM / MIB, "the limit is lifted");
        HEAP.trim(0);
    }
    pile.verify();
}

/// A limit that was there before the program.
fn started() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is written.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) }, 0);
    assert_ne!(limit.rlim_cur, libc::RLIM_INFINITY, "it is to be started with a limit");
    for _ in 0..3 {
        use_up(limit.rlim_cur as usize - status("VmSize"));
        others_have_room();
    }
}

/// Addresses are taken with the memory, not ahead of it.
fn modest() {
    let before = status("VmSize");
    let blocks = fill(16);
    let (size, resident) = (status("VmSize"), resident());
    println!("{} KiB of addresses, {} KiB resident", size / KIB, resident / KIB);
    assert!(size >= before + 7 * MIB && size <= before + 16 * MIB, "from {before} to {size}");
    assert!(size <= resident + 32 * MIB, "{size} for {resident}");
    drop(blocks);
}

/// The first address behind the mapping in which `address` lies, and those that follow it without a gap.
fn end_of_mapping(address: usize) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    let parse = |text: &str| usize::from_str_radix(text, 16).expect("an address");
    let ranges = maps.lines().filter_map(|line| line.split(' ').next()?.split_once('-'));
    let mut end = 0;
    for (from, to) in ranges.map(|(from, to)| (parse(from), parse(to))) {
        if (from..to).contains(&address) || from == end {
            end = to;
        }
    }
    assert!(end > address, "the address is mapped");
    end
}

/// A page that is not the heap's.
struct Neighbour(*mut u8);

const PAGE: usize = 64 * KIB;

impl Neighbour {
    fn at(address: usize) -> Self {
        let (place, access) = (std::ptr::without_provenance_mut(address), libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: the flags let the kernel place it there only if nothing else is.
        let page = unsafe { libc::mmap(place, PAGE, access, flags, -1, 0) };
        assert_eq!(page, place, "the place is free");
        // SAFETY: mapped above.
        unsafe { page.cast::<u8>().write_bytes(0x5C, PAGE) };
        Self(page.cast())
    }

    fn assert_untouched(&self) {
        // SAFETY: mapped as long as this lives.
        let bytes = unsafe { std::slice::from_raw_parts(self.0, PAGE) };
        assert!(bytes.iter().all(|&byte| byte == 0x5C), "the neighbour's page was written to");
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.assert_untouched();
        // SAFETY: mapped once, unmapped once.
        assert_eq!(unsafe { libc::munmap(self.0.cast(), PAGE) }, 0);
    }
}

/// Right behind the break: the heap goes on in regions, and comes back when the place is free again.
fn neighbour() {
    let first = fill(1);
    let neighbour = Neighbour::at(end_of_mapping(first[0].as_ptr().addr()));
    let blocks = fill(128);
    assert_eq!(blocks.len(), 128);
    let stats = HEAP.stats();
    assert!(stats.mapped_bytes >= 60 * MIB, "{stats:?}");
    neighbour.assert_untouched();
    assert_sound();
    drop(blocks);
    HEAP.trim(0);
    let stats = HEAP.stats();
    assert_eq!(stats.mapped_bytes, 0, "{stats:?}");
    drop(neighbour);
    let blocks = fill(128);
    let stats = HEAP.stats();
    assert!(blocks.len() == 128 && stats.mapped_bytes == 0, "the break moves again: {stats:?}");
    drop(first);
}

/// In the way at many distances: what lies between is used, and what they have written stays.
fn neighbours() {
    let first = fill(1);
    let end = end_of_mapping(first[0].as_ptr().addr()).next_multiple_of(PAGE);
    let mut row: Vec<Neighbour> = (0..6).rev().map(|at| Neighbour::at(end + (MIB << at) + at * PAGE)).collect();
    let mut pile = Pile::new(2);
    let mut regions = 0;
    while let Some(next) = row.pop() {
        let blocks: Vec<Vec<u8>> = (0..32).map(|_| vec![0; 3 * MIB]).collect();
        assert!(blocks.iter().all(|block| block.iter().all(|&byte| byte == 0)), "new memory is zero");
        pile.churn(100, 300 * KIB);
        regions += HEAP.stats().mapped_bytes;
        next.assert_untouched();
        row.iter().for_each(Neighbour::assert_untouched);
        assert_sound();
        drop((blocks, next));
        HEAP.trim(0);
    }
    assert!(regions > 0, "they were in the way");
    pile.verify();
    drop(first);
}

/// What is freed is returned, addresses and memory, and is zero when it is taken again.
fn returned() {
    let (before, size) = (resident(), status("VmSize"));
    for round in 1..=4 {
        let blocks = fill(256);
        assert!(resident() >= before + 127 * MIB, "it was used");
        drop(blocks);
        HEAP.trim(0);
        let (now, addresses) = (resident(), status("VmSize"));
        println!("{} KiB more resident", now.saturating_sub(before) / KIB);
        assert!(now <= before + 4 * MIB, "round {round}: {now} resident, {before} at first");
        assert!(addresses <= size + 4 * MIB, "round {round}: {addresses} of addresses, {size} at first");
        let mut large = vec![0_u8; 100 * MIB];
        assert!(large.iter().all(|&byte| byte == 0), "a large block is zero again");
        large.fill(round);
        let mut small: Vec<Vec<u8>> = (0..20_000).map(|index| vec![0; index % 3000]).collect();
        assert!(small.iter().all(|block| block.iter().all(|&byte| byte == 0)), "small blocks are zero again");
        small.iter_mut().for_each(|block| block.fill(round));
    }
}

/// Killed by the kernel for any of the calls that a heap can do without, and that a filter may not have heard of.
fn filtered() {
    kill_for([libc::SYS_madvise, libc::SYS_brk, libc::SYS_mremap, libc::SYS_unshare, libc::SYS_prctl]);
    let mut pile = Pile::new(6);
    for _ in 0..10 {
        let mut blocks = fill(64);
        let (mut index, before) = (0, resident());
        // Free memory between blocks, which cannot be returned by lowering the break.
        blocks.retain(|_| {
            index += 1;
            index % 5 == 0
        });
        pile.churn(200, 60 * KIB);
        HEAP.trim(0);
        assert!(resident() <= before - 8 * MIB, "memory is returned all the same");
        assert_sound();
        assert!(blocks.iter().all(|block| block.iter().all(|&byte| byte == 0xAA)));
    }
    pile.verify();
}

fn kill_for<const N: usize>(calls: [libc::c_long; N]) {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let answer = libc::BPF_RET | libc::BPF_K;
    // The number of the call is the first word of what a filter sees.
    let mut program = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for call in calls {
        program.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32));
        program.push(step(answer, 0, 0, libc::SECCOMP_RET_KILL_PROCESS));
    }
    program.push(step(answer, 0, 0, libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which is `len` steps long.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter), 0, "no seccomp");
    }
}
