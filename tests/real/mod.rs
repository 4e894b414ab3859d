//! The scenarios, and what they share.

mod kernel;
mod ledger;

mod bursts;
mod canary;
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
