//! Applying the policy to a misuse.

use crate::door::misuse::Misuse;
use crate::ground::policy::Policy;
use crate::kernel::line::Line;
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
        let mut line = Line::new();
        line.text("hmalloc: ").text(call).text(": ");
        misuse.write_to(&mut line);
        name_caller(&mut line);
        line.end_line();
        self.say(&line);
    }
}
