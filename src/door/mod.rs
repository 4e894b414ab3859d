//! From an untrusted pointer to a live block, or to a misuse.

pub(crate) mod block;
pub(crate) mod damage;
pub(crate) mod misuse;
mod policy;
pub(crate) mod validate;
