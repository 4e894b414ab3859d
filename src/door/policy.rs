//! Applying the policy to a misuse.

use crate::door::misuse::Misuse;
use crate::ground::callers::{Long, Tell, teller};
use crate::ground::policy::Policy;
use crate::kernel::line::Line;
use crate::kernel::parts::DETAILS;
use crate::kernel::who::name_caller;

impl Policy {
    /// Does what the policy says about a misuse in `call`, whose name goes into the line with the program, the process and the
    /// thread. Returns unless it aborts.
    ///
    /// ```
    /// use hmalloc::{Heap, Policy, brk::Reserved};
    ///
    /// let mut heap = Heap::new(Reserved::new());
    /// // SAFETY: a mistake, which the heap notices.
    /// if let Err(misuse) = unsafe { heap.free(std::ptr::dangling_mut()) } {
    ///     // hmalloc: free: 0x1 is outside the heap [program ..., process ..., thread ...]
    ///     Policy::Report.apply("free", &misuse);
    /// }
    /// ```
    #[cold]
    pub fn apply(self, call: &str, misuse: &Misuse) {
        if let Some(tell) = teller() {
            return self.apply_with_stacks(call, misuse, tell);
        }
        let mut line = Line::new();
        line.text("hmalloc: ").text(call).text(": ");
        misuse.write_to(&mut line, None);
        if DETAILS {
            name_caller(&mut line);
        }
        line.end_line();
        self.say(&line);
    }

    /// The same in a process that notes stacks: their lines are longer.
    #[cold]
    #[inline(never)]
    fn apply_with_stacks(self, call: &str, misuse: &Misuse, tell: Tell) {
        let (mut line, mut caller) = (Long::new(), Line::new());
        name_caller(&mut caller);
        line.text("hmalloc: ").text(call).text(": ");
        misuse.write_with_stacks(&mut line, tell);
        line.text(caller.as_str());
        line.end_line();
        self.say(&line);
    }
}
