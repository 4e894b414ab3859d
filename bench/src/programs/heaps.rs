//! The allocators, as libraries that are preloaded.

use crate::options::Options;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An allocator before it is known whether it is here.
struct Known {
    name: &'static str,
    /// The library's file, and the package that brings it.
    library: Option<(&'static str, &'static str)>,
}

/// All others are compared with the first.
pub(super) const SYSTEM: &str = "system";
const HMALLOC: &str = "hmalloc";
const KNOWN: [Known; 5] = [
    Known { name: SYSTEM, library: None },
    Known { name: HMALLOC, library: None },
    Known { name: "mimalloc", library: Some(("libmimalloc.so.2", "libmimalloc2.0")) },
    Known { name: "jemalloc", library: Some(("libjemalloc.so.2", "libjemalloc2")) },
    Known { name: "tcmalloc", library: Some(("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4")) },
];

/// The C library, for a program that has another malloc by itself: the loader knows where it is.
pub(super) const C_LIBRARY: &str = "libc.so.6";

/// An allocator that is here.
#[derive(Clone, Debug)]
pub(super) struct Heap {
    /// What is preloaded, except for the C library's.
    pub(super) library: Option<PathBuf>,
    pub(super) version: String,
}

impl Heap {
    /// Whether a function of this file is this allocator's.
    pub(super) fn is(&self, file: &str) -> bool {
        match &self.library {
            Some(library) => Path::new(file) == library,
            None => Path::new(file).file_name().is_some_and(|name| name == C_LIBRARY),
        }
    }
}

/// An allocator, or what to do to have it here.
pub(super) type Found = std::result::Result<Heap, String>;

/// Those that are wanted. An error is one of the build.
pub(super) fn find(options: &Options, target: &Path) -> Result<Vec<(&'static str, Found)>> {
    let wanted: Vec<&Known> = KNOWN.iter().filter(|known| options.is_preloaded(known.name)).collect();
    ensure!(!wanted.is_empty(), "programs run on {}", KNOWN.map(|known| known.name).join(", "));
    wanted.into_iter().map(|known| Ok((known.name, known.find(target)?))).collect()
}

impl Known {
    fn find(&self, target: &Path) -> Result<Found> {
        Ok(match self.library {
            Some((file, package)) => match look_up(file) {
                Some(library) => Ok(Heap { library: Some(library), version: package_version(package) }),
                None => Err(install(package)),
            },
            None if self.name == HMALLOC => {
                Ok(Heap { library: Some(build(target)?), version: "hmalloc of this repository".to_owned() })
            }
            None => Ok(Heap { library: None, version: package_version("libc6") }),
        })
    }
}

/// What to do about a missing package.
pub(super) fn install(package: &str) -> String {
    format!("not installed: apt-get install {package}")
}

fn look_up(file: &str) -> Option<PathBuf> {
    let folders = [&format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH), "/usr/lib64", "/usr/lib"];
    folders.into_iter().map(|folder| Path::new(folder).join(file)).find(|path| path.exists())
}

/// Builds the library as `capi/hmalloc-run` does.
fn build(target: &Path) -> Result<PathBuf> {
    let capi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../capi").canonicalize()?;
    let target = target.join("capi");
    let script = "here=$1; . \"$1/build.sh\"; build_shared; tidy";
    let mut shell = Command::new("sh");
    let status = shell.args(["-ec", script, "sh"]).arg(capi).env("CARGO_TARGET_DIR", &target).status()?;
    ensure!(status.success(), "the build of the shared library: {status}");
    Ok(target.join("install/libhmalloc.so"))
}

/// The peers that are compiled into programs in Rust.
pub(super) fn compiled() -> Vec<String> {
    let version = |package: &str| {
        let begin = format!("name = \"{package}\"\nversion = \"");
        let (_, rest) = include_str!("../../programs/Cargo.lock").split_once(&begin)?;
        Some(format!("{package} {}", rest.split(['"', '+']).next()?))
    };
    ["libmimalloc-sys", "tikv-jemalloc-sys"].into_iter().filter_map(version).collect()
}

/// A package and its version, where the system can say it.
pub(super) fn package_version(package: &str) -> String {
    let output = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output();
    let version = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    format!("{package} {}", version.as_deref().map_or("?".into(), String::from_utf8_lossy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_peers_have_versions() {
        assert_eq!(compiled().len(), 2);
    }

    #[test]
    fn the_c_library_is_known_by_its_name_and_others_by_their_path() {
        let heap = |library: Option<&str>| Heap { library: library.map(PathBuf::from), version: String::new() };
        let system = heap(None);
        assert!(system.is("/lib/x86_64-linux-gnu/libc.so.6") && !system.is("/lib/libjemalloc.so.2"));
        let other = heap(Some("/usr/lib/libjemalloc.so.2"));
        assert!(other.is("/usr/lib/libjemalloc.so.2") && !other.is("/lib/libjemalloc.so.2") && !other.is("libc.so.6"));
    }
}
