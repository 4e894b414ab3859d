//! Where the repository is, and where tests put what they build.

use std::env::current_exe;
use std::fs::create_dir_all;
use std::path::{Path, PathBuf};

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("this package is in `tests/support`").join(path)
}

/// A path in the folder that cargo gives to integration tests, `CARGO_TARGET_TMPDIR`: `tmp` in the target directory.
/// A library is not told it, but the binary that calls this is `PROFILE/deps/BINARY` beside it.
pub fn scratch(path: impl AsRef<Path>) -> PathBuf {
    let binary = current_exe().expect("a test binary has a path");
    let folder = binary.ancestors().nth(3).expect("it is in a target directory").join("tmp");
    create_dir_all(&folder).expect("a folder in the target directory");
    folder.join(path)
}
