//! The heap on the kernel's own memory, each scenario in a process of its own: limits, filters and neighbours on the
//! program break are real.

mod ledger;
mod system;

mod bursts;
mod canary;
mod contents;
mod filters;
mod growth;
mod guards;
mod inside;
mod lowered;
mod moves;
mod neighbours;
mod refused;
mod threads;
mod touched;
