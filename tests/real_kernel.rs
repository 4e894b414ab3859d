//! The heap on the kernel's own program break, each scenario in a process of its own.

mod real;
