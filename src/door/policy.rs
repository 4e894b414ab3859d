//! Applying the policy to a misuse.

use crate::door::misuse::Misuse;
use crate::ground::policy::Policy;
use crate::kernel::line::Line;

impl Policy {
    /// Does what the policy says about a misuse in `call`, whose name goes into the line. Returns unless it aborts.
    #[cold]
    pub fn apply(self, call: &str, misuse: &Misuse) {
        let mut line = Line::new();
        line.text("hmalloc: ").text(call).text(": ");
        misuse.write_to(&mut line);
        self.say(line.text("\n"));
    }
}
