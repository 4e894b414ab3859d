//! Builds other programs of this repository, apart from the user's own builds.

use anyhow::{Context, Result};
use escargot::CargoBuild;
use std::path::{Path, PathBuf};

/// Builds the program `name` of the package in `folder`, from the repository's root, with further `arguments`, into the
/// folder `target` below this package's.
pub(crate) fn release(folder: &str, name: &str, target: &str, arguments: &[&str]) -> Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let build = CargoBuild::new()
        .manifest_path(own.join("..").join(folder).join("Cargo.toml"))
        .bin(name)
        .release()
        .target_dir(own.join("target").join(target))
        .args(["--locked", "--quiet"])
        .args(arguments);
    Ok(build.run().with_context(|| format!("the build of {name}"))?.path().to_owned())
}

/// Bytes of a file.
pub(crate) fn size(path: &Path) -> Result<u64> {
    Ok(path.metadata().with_context(|| path.display().to_string())?.len())
}
