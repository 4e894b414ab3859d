//! What the documents of the repository say is there: files that they link to, and tests that they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use support::places::repository;

/// Where the links of a document lead that do not lead out of the repository, without what follows a `#`.
pub(crate) fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let targets =
        targets.filter(|target| !target.contains("://") && !target.starts_with('#') && !target.contains("::"));
    targets.map(|target| target.split('#').next().unwrap_or_default().to_owned()).collect()
}

/// The first Rust program of a README.
pub(crate) fn rust_block(readme: &str) -> String {
    let (_, rest) = readme.split_once("\n```rust\n").expect("a program");
    rest.split_once("\n```").expect("it ends").0.to_owned() + "\n"
}

fn walk(folder: &Path, keep: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != ".git" {
            found.extend(walk(&path, keep));
        } else if keep(&path) {
            found.push(path);
        }
    }
    found
}

fn documents() -> Vec<PathBuf> {
    walk(&repository(""), &|path| path.extension().is_some_and(|end| end == "md"))
}

#[test]
fn links_lead_to_files() {
    let mut count = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        for link in links(&text) {
            let target = document.parent().expect("a folder").join(&link);
            assert!(target.exists(), "{} links to {link}", document.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count} links");
}

/// A word in backquotes that is as long as the name of a test is the name of one, or of a function that is called somewhere.
#[test]
fn tests_that_are_named_exist() {
    let sources = walk(&repository(""), &|path| path.extension().is_some_and(|end| end == "rs"));
    let sources: Vec<String> = sources.iter().map(|path| fs::read_to_string(path).expect("a file")).collect();
    let is_test = |word: &str| {
        !word.starts_with('_')
            && word.matches('_').count() >= 3
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let mut names = BTreeSet::new();
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        let code = text.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
        names.extend(code.filter(|word| is_test(word)).map(str::to_owned));
    }
    for name in &names {
        let forms = [format!("fn {name}"), format!("mod {name}"), format!(".{name}(")];
        let known = sources.iter().any(|text| forms.iter().any(|form| text.contains(form)));
        assert!(known, "no test is called {name}");
    }
    assert!(names.len() > 10, "{names:?}");
}

/// The package's page cannot show what is not in it, so the chart is in it as a copy.
#[test]
fn the_chart_is_the_benchmark_s() {
    let [copy, chart] =
        ["chart.svg", "bench/results/time.svg"].map(|path| fs::read(repository(path)).expect("a chart"));
    assert!(copy == chart, "cp bench/results/time.svg chart.svg");
}
