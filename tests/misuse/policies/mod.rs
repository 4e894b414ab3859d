//! What `Hmalloc` does about wrong pointers, policy by policy, in processes of their own.
//!
//! Every test prepares the same heap, makes one mistake, and says what must be reported. Under `Report` and `Abort`
//! that is exactly one line; under `Ignore` nothing. A process that is to live on checks its heap and goes on using it.

mod scene;

mod pointers;
mod reallocs;
mod wrong_layouts;
