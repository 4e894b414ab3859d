//! The report in words. Each line says one thing and begins with what it is about.

use super::{FreeRun, Kept, Pin, Report, TierOwner, TierShare, Trimmable};
use crate::look::blocks::SpanKind;
use crate::look::figures::Grouped;
use crate::look::stats::Stats;
use core::fmt;

/// `1 slab`, `2 slabs`.
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", Grouped(self.0), self.1, if self.0 == 1 { "" } else { "s" })
    }
}

fn bytes(bytes: usize) -> Count {
    Count(bytes, "byte")
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, address) = (bytes(self.bytes), self.address);
        match self.kind {
            SpanKind::Slab { slot, capacity, live } => {
                let tier = self.tier.unwrap_or(0);
                let are = if live == 1 { "is" } else { "are" };
                write!(f, "a slab of {length} at {address:#x} with slots of {}, of tier {tier}: ", Grouped(slot))?;
                write!(f, "{} of {} {are} live", Grouped(live), Grouped(capacity))?;
                match self.block {
                    Some(block) => write!(f, ", the nearest at {:#x}", block.address),
                    None => Ok(()),
                }
            }
            SpanKind::Large => write!(f, "a block of {length} at {address:#x}"),
            SpanKind::Metadata => write!(f, "metadata of {length} at {address:#x}"),
            SpanKind::Foreign => write!(f, "memory of another user of the break, {length} at {address:#x}"),
            SpanKind::Free => write!(f, "free memory of {length} at {address:#x}"),
        }
    }
}

impl fmt::Display for FreeRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {:#x}, of which {} may hold memory",
            bytes(self.bytes),
            self.address,
            Grouped(self.dirty_bytes)
        )?;
        if let Some(below) = &self.below {
            write!(f, "; below it {below}")?;
        }
        match &self.above {
            Some(above) => write!(f, "; above it {above}"),
            None => f.write_str("; above it the end"),
        }
    }
}

impl fmt::Display for TierOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InTurns => f.write_str("used in turns"),
            Self::FirstThread => f.write_str("of the first thread"),
            Self::Thread(id) => write!(f, "of thread {id}"),
            Self::Ended(id) => write!(f, "of thread {id}, which has ended"),
            Self::Unowned => f.write_str("of no thread"),
        }
    }
}

impl TierShare {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}, ", Count(self.slabs, "slab"), bytes(self.bytes))?;
        write!(f, "{} live of {}, ", Count(self.live_blocks, "block"), bytes(self.live_bytes))?;
        write!(f, "{} in empty slabs", bytes(self.empty_bytes))?;
        if self.freed_by_others > 0 {
            write!(f, ", {} freed by other threads and not found yet", Count(self.freed_by_others, "block"))?;
        }
        f.write_str("\n")
    }
}

impl fmt::Display for Trimmable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a trim would give back {}: {} by the break, ", bytes(self.bytes()), Grouped(self.by_break))?;
        write!(f, "{} of regions, {} of other free runs, ", Grouped(self.by_regions), Grouped(self.in_runs))?;
        write!(f, "{} between the blocks of slabs", Grouped(self.in_slabs))
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kept: {} in free runs may hold memory; ", bytes(self.dirty_bytes))?;
        match self.draining {
            true => f.write_str("the heap is returning memory, some with each free")?,
            false => write!(f, "nothing is returned unasked up to {}", bytes(self.mark))?,
        }
        if self.refused_bytes > 0 {
            write!(f, "; the kernel refused to take {}", bytes(self.refused_bytes))?;
        }
        if self.empty_slabs > 0 {
            write!(
                f,
                "; {} of {} kept for new blocks",
                Count(self.empty_slabs, "empty slab"),
                bytes(self.empty_bytes)
            )?;
        }
        if self.huge_pages {
            f.write_str("; huge pages are in use: memory comes and goes in pieces of 2 MiB")?;
        }
        if self.raised_by_others {
            f.write_str("; another user has raised the break above the heap, so it cannot be lowered")?;
        }
        Ok(())
    }
}

impl Report {
    fn write_sums(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { live_blocks, live_bytes, free_bytes, metadata_bytes, heap_bytes, peak_heap_bytes, .. } = self.stats;
        write!(f, "heap: {} from the kernel, at most {}: ", bytes(heap_bytes), Grouped(peak_heap_bytes))?;
        write!(f, "{} in {}, ", Grouped(live_bytes), Count(live_blocks, "live block"))?;
        writeln!(f, "{} free, {} metadata", Grouped(free_bytes), Grouped(metadata_bytes))?;
        let slabs = self.classes().map(|class| class.slabs).sum();
        write!(f, "free: {} in {}, ", bytes(self.in_runs), Count(self.run_count, "free run"))?;
        writeln!(
            f,
            "of which {} may hold memory; {} in {}",
            Grouped(self.runs_dirty),
            Grouped(self.in_slabs),
            Count(slabs, "slab")
        )
    }

    fn write_runs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pin) = &self.end_pin {
            writeln!(f, "the end: {} can go back there; below lies {pin}", bytes(self.end_bytes))?;
        }
        for (at, run) in self.runs().enumerate() {
            writeln!(f, "{}: {run}", if at == 0 { "the largest free run" } else { "the next" })?;
        }
        Ok(())
    }

    fn write_classes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.classes().next().is_some() {
            writeln!(
                f,
                "{:>7} {:>7} {:>11} {:>14} {:>14} {:>14}",
                "slot", "slabs", "live", "live bytes", "free bytes", "may hold some"
            )?;
        }
        for class in self.classes() {
            write!(f, "{:>7} {:>7} {:>11} ", Grouped(class.slot), Grouped(class.slabs), Grouped(class.live_blocks))?;
            let (live, free) = (Grouped(class.live_blocks * class.slot), Grouped(class.free_bytes));
            writeln!(f, "{live:>14} {free:>14} {:>14}", Grouped(class.dirty_bytes))?;
        }
        Ok(())
    }

    fn write_tiers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tier in self.tiers() {
            write!(f, "tier {}, {}: ", tier.number, tier.owner)?;
            tier.write(f)?;
        }
        if self.other_tiers.slabs > 0 {
            write!(f, "{}: ", Count(self.tier_count - self.tiers().count(), "other tier"))?;
            self.other_tiers.write(f)?;
        }
        Ok(())
    }
}

/// Some ten lines and a table, each with its newline.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_sums(f)?;
        self.write_runs(f)?;
        self.write_classes(f)?;
        self.write_tiers(f)?;
        if self.region_count > 0 {
            let regions = Count(self.region_count, "region");
            write!(f, "regions: {regions} of {}, ", bytes(self.stats.mapped_bytes))?;
            writeln!(f, "{} of them without a live block", self.idle_regions)?;
        }
        writeln!(f, "{}", self.trim)?;
        writeln!(f, "{}", self.kept)
    }
}
