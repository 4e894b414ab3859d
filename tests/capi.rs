//! The libraries for C, as a user gets them: installed under a prefix by `capi/install`, compiled against by `cc`,
//! preloaded under programs that already exist.
//!
//! The C programs are in `tests/capi`. A test that needs a program of the machine names the Debian package to install if
//! it is missing.

#[path = "capi/environment.rs"]
mod environment;
#[path = "capi/fork.rs"]
mod fork;
#[path = "capi/hostile.rs"]
mod hostile;
#[path = "capi/link.rs"]
mod link;
#[path = "capi/misuse.rs"]
mod misuse;
#[path = "capi/preload.rs"]
mod preload;
#[path = "capi/promises.rs"]
mod promises;
#[path = "capi/report.rs"]
mod report;
#[path = "capi/run.rs"]
mod run;
#[path = "capi/scopes.rs"]
mod scopes;
#[path = "capi/storms.rs"]
mod storms;
