//! What the test binaries share.
#![allow(dead_code, reason = "every test binary uses its own part of these modules")]

pub(crate) mod arena;
pub(crate) mod broken;
pub(crate) mod calls;
pub(crate) mod child;
pub(crate) mod leaves;
pub(crate) mod oracle;
pub(crate) mod packages;
pub(crate) mod pattern;
pub(crate) mod setup;
pub(crate) mod subject;
pub(crate) mod watched;
pub(crate) mod world;
