//! The libraries for C, as a user gets them: installed under a prefix by `capi/install`, compiled against by `cc`,
//! preloaded under programs that already exist.
//!
//! The C programs are in this folder. A test that needs a program of the machine names the Debian package to install if
//! it is missing.

mod browser;
mod callers;
mod checked;
mod environment;
mod fork;
mod gdb;
mod hostile;
mod install;
mod link;
mod malloc_archive;
mod misuse;
mod operators;
mod preload;
mod profile;
mod promises;
mod report;
mod run;
mod scopes;
mod storms;
mod timeline;
