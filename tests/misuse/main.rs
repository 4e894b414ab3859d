//! Every wrong pointer and every wrong layout is known for what it is, and answered as the policy says.

mod addresses;
mod layouts;
mod policies;
