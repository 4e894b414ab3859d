//! The runtime of programs without a libc, as a package outside this repository uses it: the program of its README, built
//! from the README's own lines.

use std::fs;
use support::places::repository;
use support::programs::cargo;

/// The code block behind the first line that begins with `name` in backquotes.
fn block(readme: &str, name: &str) -> String {
    let (_, rest) = readme.split_once(&format!("\n`{name}`")).unwrap_or_else(|| panic!("no {name} in the README"));
    let (_, rest) = rest.split_once("\n```").expect("a code block follows");
    let (_, code) = rest.split_once('\n').expect("the block has lines");
    code.split_once("\n```").expect("the block ends").0.to_owned() + "\n"
}

#[test]
fn the_program_of_the_readme_works_in_a_package_of_its_own() {
    let readme = fs::read_to_string(repository("runtime/README.md")).expect("runtime/README.md");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    let path = |name: &str| format!("{{ path = {:?} }}", repository(name));
    let published = block(&readme, "Cargo.toml")
        .replace("hmalloc = \"0.1\"", &format!("hmalloc = {}", path("")))
        .replace("hmalloc-runtime = \"0.1\"", &format!("hmalloc-runtime = {}", path("runtime")));
    fs::create_dir(folder.path().join("src")).expect("a folder");
    // The same version of what it depends on, which is here already.
    write("Cargo.lock", &fs::read_to_string(repository("Cargo.lock")).expect("Cargo.lock"));
    write("build.rs", &block(&readme, "build.rs"));
    write("src/main.rs", &block(&readme, "src/main.rs"));
    // Without its default features the heap has no tiers for threads.
    let turns = published.replace(&path(""), &path("").replace(" }", ", default-features = false }"));
    assert_ne!(published, turns);
    for (manifest, profile) in [(&published, "dev"), (&published, "release"), (&turns, "dev")] {
        write("Cargo.toml", manifest);
        let output = cargo()
            .args(["run", "--quiet", "--profile", profile, "--", "b", "a\u{1b}c"])
            .current_dir(folder.path())
            .env("CARGO_TARGET_DIR", folder.path().join("target"))
            .env("A_VARIABLE", "of the test")
            .output()
            .expect("cargo runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{profile}: {}\n{out}{err}", output.status);
        let lines: Vec<&str> = out.lines().collect();
        let [first, second, variables] = lines[..] else { panic!("{profile}: three lines were wanted:\n{out}") };
        assert_eq!([first, second], ["a\u{fffd}c", "b"], "{profile}");
        let count = variables.strip_suffix(" variables").and_then(|count| count.parse::<usize>().ok());
        assert!(count.is_some_and(|count| count > 1), "{profile}: {variables}");
    }
}
