//! The scenarios, and what they share.

mod kernel;
mod ledger;

mod canary;
mod growth;
mod guards;
mod neighbours;
mod refused;
mod threads;
mod touched;
