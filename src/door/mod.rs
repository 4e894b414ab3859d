//! From an untrusted pointer to a live block, or to a misuse.

pub(crate) mod misuse;
pub(crate) mod validate;
