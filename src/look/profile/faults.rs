//! The line about a fault at a guarded block: written by a handler of the signal, from what was noted when the block was allocated
//! and freed.

use super::frames::write_frame;
use crate::ground::guards::{Guarded, Guards};
use crate::ground::sites::Sites;
use crate::kernel::line::{Line, Text};
use crate::kernel::modules::Modules;
use crate::kernel::sys::write_to_stderr;
use crate::kernel::who::name_caller;
use core::fmt::{self, Write};

/// How many frames of each stack the line has.
const FRAMES: usize = 4;

/// Has faults at guarded blocks explained.
pub(crate) fn explain() {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
    crate::kernel::fatal::explain_faults(say);
}

/// Takes the signals of faults, once there is a sampled block: to explain them, or to write the profile before the process dies.
pub(crate) fn take() {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
    crate::kernel::fatal::take_faults();
}

/// Writes the line about an access at `address` that was refused. False if that is not at a guarded block.
#[allow(dead_code, reason = "some architectures have no handler")]
fn say(address: usize) -> bool {
    let Some(guards) = Guards::explained() else { return false };
    let Some(block) = guards.around(address) else { return false };
    let mut line = Text::<1024>::new();
    let _ = describe(&mut line, address, &block, guards.sites());
    let mut caller = Line::new();
    name_caller(&mut caller);
    line.text(caller.as_str());
    line.end_line();
    write_to_stderr(line.as_bytes());
    true
}

fn describe(line: &mut impl Write, address: usize, block: &Guarded, sites: Option<&Sites>) -> fmt::Result {
    let Guarded { payload, bytes, is_freed, .. } = *block;
    write!(line, "hmalloc: fault: {address:#x} is ")?;
    match address.checked_sub(payload) {
        None => write!(line, "{} bytes before", payload - address)?,
        Some(inside) if inside < bytes => write!(line, "{inside} bytes into")?,
        Some(after) => write!(line, "{} bytes after the end of", after - bytes)?,
    }
    let state = if is_freed { "freed" } else { "used" };
    write!(line, " {bytes} {state} bytes at {payload:#x}")?;
    let modules = Modules::load();
    for (verb, by) in [("allocated", 0), ("freed", 1)].into_iter().take(1 + usize::from(is_freed)) {
        write!(line, ", {verb} by thread {}", block.threads[by])?;
        let Some(sites) = sites else { continue };
        let site = sites.site(block.sites[by] as usize);
        for (index, frame) in sites.frames(&site).take(FRAMES).enumerate() {
            line.write_str(if index == 0 { " at " } else { " < " })?;
            write_frame(line, modules.as_ref(), frame, false)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter makes no system calls")]
    fn the_line_says_where_in_which_block() {
        let block = |is_freed| Guarded { payload: 0x5000, bytes: 24, is_freed, sites: [0, 0], threads: [7, 9] };
        let text = |address, is_freed| {
            let mut text = String::new();
            describe(&mut text, address, &block(is_freed), None).unwrap();
            text
        };
        assert_eq!(
            text(0x5020, false),
            "hmalloc: fault: 0x5020 is 8 bytes after the end of 24 used bytes at 0x5000, allocated by thread 7"
        );
        assert!(text(0x4ff0, false).starts_with("hmalloc: fault: 0x4ff0 is 16 bytes before 24 used bytes"));
        assert!(
            text(0x5004, true)
                .ends_with("4 bytes into 24 freed bytes at 0x5000, allocated by thread 7, freed by thread 9")
        );
    }
}
