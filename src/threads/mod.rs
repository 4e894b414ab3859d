//! The threads of a program: a tier for each, which it uses without a lock.
//!
//! ```text
//! thread pointer --> table --> a thread's tier: lease | its number, what others freed | classes, slabs
//!                                                          ^
//! a slab's header: owner --> directory ---------------------+
//! ```
//!
//! All of this lies in mappings of its own that stay as long as the process: whoever has found a tier may use what is for
//! others in it at any time.
//!
//! | file | what it is for |
//! |---|---|
//! | [`own`] | a thread's tier, with its lease |
//! | [`table`] | from a thread pointer to the tier |
//! | [`world`] | all of them: making, adopting, stopping them |
//! | [`handlers`] | what a signal handler does that has interrupted its thread and cannot take the lock |
//! | [`places`] | a set of addresses that handlers fill and empty |
//! | [`gather`] | giving all slabs to the heap's own tier, while all threads are stopped |

pub(crate) mod gather;
pub(crate) mod handlers;
pub(crate) mod own;
mod places;
mod table;
mod world;

pub(crate) use own::{OwnTier, TIER_OFFSETS};
pub(crate) use world::World;
pub(crate) use world::{WORLD_BYTES, WORLD_OFFSETS};
