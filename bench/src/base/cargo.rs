//! Builds other programs of this repository, apart from the user's own builds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs `cargo build --release` in `folder` with further `arguments`, into the folder `target` below this package's.
/// Returns the program that was built.
pub(crate) fn build(folder: &Path, target: &str, arguments: &[&str]) -> Result<PathBuf, String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .current_dir(folder)
        .args(["build", "--release", "--locked", "--quiet", "--message-format=json", "--target-dir"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(target))
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("the build of {} failed", folder.display()));
    }
    executable(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| "the build made no program".to_owned())
}

/// The last program that cargo's messages name.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next()
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn the_program_is_the_last_one_named() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","executable":"/a/tiny","fresh":true}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(executable(messages), Some("/a/tiny".into()));
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
