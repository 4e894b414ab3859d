//! What a heap takes from the kernel and what it returns, as the kernel sees it: an emulated one that counts, refuses, has
//! a clock and shows what is left in memory.

mod full;
mod growing;
mod huge_pages;
mod inside;
mod leaves;
mod limits;
mod neighbours;
mod regions;
mod returning;
mod the_break;
