//! The functions of `hmalloc.h` from the files of `capi`, without its panic handler and its memory functions: a program of
//! the standard library has both.
#![no_std]

#[path = "../../capi/src/family.rs"]
mod family;
#[path = "../../capi/src/hooks.rs"]
mod hooks;
#[path = "../../capi/src/libc.rs"]
mod libc;
#[allow(unused_imports, reason = "the panic handler uses the rest")]
#[path = "../../capi/src/line.rs"]
mod line;
#[path = "../../capi/src/misuse.rs"]
mod misuse;
#[path = "../../capi/src/policy.rs"]
mod policy;
#[path = "../../capi/src/report.rs"]
mod report;
#[path = "../../capi/src/request.rs"]
mod request;
#[path = "../../capi/src/shared.rs"]
mod shared;
