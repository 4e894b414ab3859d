//! Memory in figures: what stays resident, what a limit leaves, and the slowest calls in a large address space.
//!
//! ```text
//!   parent (this file)                               child.rs, a process for each case and allocator
//!     bursts.rs     resident after each burst  <-----  eight bursts, a rest, one block more
//!     patterns.rs   resident where blocks stay <-----  ladder, Robson's, saw-tooth, pinned growth
//!     limit.rs      a limit that is reached    <-----  blocks until the answer is null
//!     space.rs      the slowest single calls   <-----  blocks that nobody writes, up to 256 GiB
//! ```

mod blocks;
mod bursts;
pub(crate) mod child;
mod limit;
mod parent;
mod patterns;
mod robson;
mod space;

use crate::allocators::{self, Entry, Kind};
use crate::base::kernel;
use parent::Parent;
use std::time::{Duration, SystemTime};

/// Who is compared unless `--allocator` says otherwise: hmalloc with and without its lock, and on the program break;
/// two peers that many programs use, and the C library.
pub(crate) const ALLOCATORS: [&str; 6] = ["hmalloc", "hmalloc-lock", "hmalloc-brk", "mimalloc", "jemalloc", "system"];

/// What `--quick` divides bytes by.
const QUICK: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Bursts,
    Patterns,
    Limit,
    Space,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Bursts, Self::Patterns, Self::Limit, Self::Space];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bursts => "bursts",
            Self::Patterns => "patterns",
            Self::Limit => "limit",
            Self::Space => "space",
        }
    }

    /// How many processes each allocator has.
    fn processes(self) -> usize {
        match self {
            Self::Bursts => bursts::SHAPES.len(),
            Self::Patterns => patterns::PATTERNS.len(),
            Self::Limit => limit::SIZES.len(),
            Self::Space => space::REPETITIONS,
        }
    }
}

/// What is measured.
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) markdown: bool,
    /// How long a process is idle after its bursts.
    pub(crate) rest: Duration,
    pub(crate) parts: Vec<&'static Part>,
    pub(crate) allocators: Vec<&'static Entry>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            quick: false,
            markdown: false,
            rest: Duration::from_secs(10),
            parts: Part::ALL.iter().collect(),
            allocators: allocators::ALL.iter().filter(|entry| ALLOCATORS.contains(&entry.name)).collect(),
        }
    }
}

/// Measures and prints everything that `options` ask for.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    if let Some(entry) = options.allocators.iter().find(|entry| entry.kind == Kind::Boundary) {
        return Err(format!("{} is no allocator: its blocks lie on top of each other", entry.name));
    }
    let mut parent = Parent::new(options);
    println!("{}", head(options));
    for part in &options.parts {
        parent.progress.part(part.name());
        let tables = match part {
            Part::Bursts => bursts::tables(&mut parent)?,
            Part::Patterns => patterns::tables(&mut parent)?,
            Part::Limit => limit::tables(&mut parent)?,
            Part::Space => space::tables(&mut parent)?,
        };
        print!("{tables}");
        parent.remarks.drain(..).for_each(|remark| println!("- {remark}\n"));
    }
    parent.progress.end();
    Ok(())
}

/// The machine, the date, the kernel settings that matter here, and who is compared.
fn head(options: &Options) -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let date = kernel::date(since.map_or(0, |since| since.as_secs()));
    let setting = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let huge = chosen(&setting("/sys/kernel/mm/transparent_hugepage/enabled"));
    let overcommit = setting("/proc/sys/vm/overcommit_memory");
    let mut versions: Vec<String> = options.allocators.iter().filter_map(|entry| entry.version()).collect();
    versions.dedup();
    format!(
        "{}, Linux {}; {date}\nhuge pages: {huge}, overcommit: {overcommit}{}\n{}\n",
        kernel::machine(),
        kernel::release(),
        if options.quick { "; quick: small sizes, not for comparison" } else { "" },
        versions.join(", "),
    )
}

/// The word in brackets, by which the kernel says what is set among what can be.
fn chosen(setting: &str) -> String {
    let word = setting.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    word.map_or("unknown", |(word, _)| word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{ALLOCATORS, Options, chosen, head};

    #[test]
    fn what_is_set_stands_in_brackets() {
        assert_eq!([chosen("always [madvise] never"), chosen("")], ["madvise", "unknown"]);
    }

    #[test]
    fn everyone_who_is_compared_exists_and_can_trim() {
        let options = Options::default();
        assert_eq!(options.allocators.len(), ALLOCATORS.len());
        assert!(options.allocators.iter().all(|entry| entry.trim.is_some()));
    }

    #[test]
    fn the_head_names_the_machine_the_day_and_the_versions() {
        let head = head(&Options { quick: true, ..Options::default() });
        for part in [std::env::consts::ARCH, "UTC", "huge pages", "tikv-jemalloc-sys ", "quick"] {
            assert!(head.contains(part), "{head}");
        }
    }
}
