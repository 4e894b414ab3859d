//! Every wrong pointer and every wrong layout is recognised, and answered as the policy says.

mod addresses;
mod checked;
mod layouts;
mod policies;
mod specified;
mod table;
