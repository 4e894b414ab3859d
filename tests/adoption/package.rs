//! The packages as they are published: what is in them, that it is enough, and that their documents stand alone.

use crate::build::{cargo, directory};
use crate::readmes::{links, rust_block};
use std::fs;
use std::path::{Path, PathBuf};
use support::installed::{command, succeed};
use support::places::repository;

/// Where the packages are unpacked, with nothing beside them.
fn unpacked(name: &str) -> PathBuf {
    directory("unpacked").join(format!("{name}-0.1.0"))
}

/// Packs the packages and unpacks them.
fn unpack() {
    let mut pack = cargo(&repository(""), "package");
    // What is built is what is unpacked, below.
    pack.args([
        "package",
        "--quiet",
        "--no-verify",
        "--allow-dirty",
        "--package",
        "hmalloc",
        "--package",
        "hmalloc-runtime",
    ]);
    succeed(&mut pack);
    let _ = fs::remove_dir_all(directory("unpacked"));
    fs::create_dir_all(directory("unpacked")).expect("a folder");
    for name in ["hmalloc", "hmalloc-runtime"] {
        let archive = directory("package").join(format!("package/{name}-0.1.0.crate"));
        // With the time of now, for cargo knows by it what has changed.
        succeed(command("tar").arg("xzmf").arg(archive).arg("-C").arg(directory("unpacked")));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_packages_stand_alone() {
    unpack();
    they_have_what_they_need();
    they_are_enough_for_a_program();
}

fn they_have_what_they_need() {
    for name in ["hmalloc", "hmalloc-runtime"] {
        let folder = unpacked(name);
        for needed in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"] {
            assert!(folder.join(needed).exists(), "{name} has {needed}");
        }
        assert_eq!(folder.join("CHANGELOG.md").exists(), name == "hmalloc");
        let documents = files(&folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "md"));
        for document in documents {
            let text = fs::read_to_string(&document).expect("a document");
            for link in links(&text) {
                let target = document.parent().expect("a folder").join(&link);
                assert!(target.exists(), "{} of {name} links to {link}, which is not in it", document.display());
            }
        }
    }
}

/// The program of README.md runs on the unpacked library, and that of `examples/bare` is compiled with both.
fn they_are_enough_for_a_program() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    fs::create_dir(folder.path().join("src")).expect("a folder");
    let bare = repository("examples/bare");
    let copy = |from: &str, to: &str| write(to, &fs::read_to_string(bare.join(from)).expect("a file"));
    write("src/main.rs", &rust_block(&fs::read_to_string(unpacked("hmalloc").join("README.md")).expect("a README")));
    let (library, runtime) = (unpacked("hmalloc"), unpacked("hmalloc-runtime"));
    let manifest = |name: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
             hmalloc = \"0.1\"\n[patch.crates-io]\nhmalloc = {{ path = {library:?} }}\n"
        )
    };
    write("Cargo.toml", &manifest("user"));
    write("Cargo.lock", &fs::read_to_string(repository("Cargo.lock")).expect("Cargo.lock"));
    let said = succeed(cargo(folder.path(), "package").args(["run", "--quiet"]));
    assert!(said.contains(" words in "), "{said}");
    let published = manifest("bare").replace("hmalloc = \"0.1\"\n", "hmalloc = \"0.1\"\nhmalloc-runtime = \"0.1\"\n")
        + &format!("hmalloc-runtime = {{ path = {runtime:?} }}\n[profile.dev]\npanic = \"abort\"\n");
    write("Cargo.toml", &published);
    copy("src/main.rs", "src/main.rs");
    copy("build.rs", "build.rs");
    succeed(cargo(folder.path(), "package").args(["check", "--quiet"]));
}
