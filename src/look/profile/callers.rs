//! The stacks in lines of checked mode.

use super::frames::write_frame;
use crate::ground::callers::{Long, Stacks, tell_by};
use crate::kernel::backtrace::leaves_out_own;
use crate::kernel::modules::Modules;

/// How many frames of each stack a line has. Of a heap in the midst of its program the innermost ones are its own.
const FRAMES: usize = 6;

/// Has lines about misuse tell stacks.
pub(crate) fn explain() {
    tell_by(tell);
}

/// Appends ` at FILE+0xADDRESS < FILE+0xADDRESS`, from the innermost frame on. Nothing, if the stack is not known.
fn tell(line: &mut Long, number: u32) {
    let Some(stacks) = Stacks::get() else { return };
    let mut frames = stacks.frames(number).peekable();
    if frames.peek().is_none() {
        return;
    }
    let modules = Modules::load();
    let count = if leaves_out_own() { FRAMES } else { usize::MAX };
    for (index, frame) in frames.take(count).enumerate() {
        line.text(if index == 0 { " at " } else { " < " });
        let _ = write_frame(line, modules.as_ref(), frame, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it asks the kernel")]
    fn a_stack_is_told_from_the_innermost_frame_on() {
        let stacks = Stacks::make().expect("memory");
        let mut line = Long::new();
        tell(&mut line, stacks.find(&[0x11, 0x21]));
        assert_eq!(line.as_str(), " at 0x10 < 0x20");
        let mut line = Long::new();
        tell(&mut line, stacks.find(&[]));
        assert_eq!(line.as_str(), "");
    }
}
