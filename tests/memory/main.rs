//! What a heap takes from the kernel and what goes back, as the kernel sees it: an emulated one that counts, refuses, has
//! a clock and shows what is left in memory.

mod full;
mod give_back;
mod growing;
mod huge_pages;
mod inside;
mod leaves;
mod limits;
mod neighbours;
mod regions;
mod the_break;
