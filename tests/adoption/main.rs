//! What a user meets who finds hmalloc and takes it: the package as it is published, the targets it builds for and what the others
//! say, the oldest compiler, the public interface, licences, the examples, and what the READMEs claim.

mod api;
mod build;
mod examples;
mod licences;
mod package;
mod readmes;
#[cfg(target_arch = "x86_64")]
mod size;
mod targets;
