//! What the documents of the repository say is there: files and headings that they link to, and tests that they name.

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

/// A document without its blocks of code and what stands in backquotes: no link is meant there.
fn prose(text: &str) -> String {
    let mut code = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    });
    lines.map(|line| line.split('`').step_by(2).collect::<String>() + "\n").collect()
}

/// What a link has behind `#` to lead to each heading: its words in lower case, without what is neither letter nor digit.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut code = false;
    for line in text.lines() {
        code ^= line.trim_start().starts_with("```");
        let Some(heading) = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#') && !code)
        else {
            continue;
        };
        let anchor: String = heading
            .to_lowercase()
            .chars()
            .filter_map(|sign| {
                if sign == ' ' {
                    Some('-')
                } else {
                    Some(sign).filter(|sign| sign.is_alphanumeric() || "-_".contains(*sign))
                }
            })
            .collect();
        // Of equal headings the second one is that with `-1`.
        let same = (0..).map(|number| if number == 0 { anchor.clone() } else { format!("{anchor}-{number}") });
        let free = same.into_iter().find(|anchor| !found.contains(anchor)).unwrap_or_default();
        found.insert(free);
    }
    found
}

/// What is wrong with a link of a document: the file is not there, or it has no such heading.
fn broken(document: &Path, text: &str, link: &str) -> Option<String> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { document.to_owned() } else { document.parent().expect("a folder").join(path) };
    if !target.exists() {
        return Some(format!("{} links to {link}, which is not there", document.display()));
    }
    let anchor = anchor.filter(|_| target.extension().is_some_and(|end| end == "md"))?;
    let text = if target == document { text.to_owned() } else { fs::read_to_string(&target).expect("a document") };
    (!anchors(&text).contains(anchor))
        .then(|| format!("{} links to {link}, and there is no such heading", document.display()))
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
fn links_lead_to_files_and_headings() {
    let (mut count, mut headings) = (0, 0);
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        let prose = prose(&text);
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        // An empty one is a page of the book that is to come.
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            assert_eq!(broken(&document, &text, link), None);
            count += 1;
            headings += usize::from(link.contains('#'));
        }
    }
    assert!(count > 40 && headings > 1, "{count} links, {headings} to headings");
}

/// The check of links finds what it is for.
#[test]
fn a_broken_link_is_found() {
    let text = "# One, two\n```sh\n# no heading\n```\n## `three_4` - five\n## One, two\n`[a](b)`\n";
    assert_eq!(anchors(text), ["one-two", "one-two-1", "three_4---five"].map(str::to_owned).into());
    assert!(!prose(text).contains("](") && !prose(text).contains("no heading"));
    let here = repository("README.md");
    assert!(broken(&here, text, "nowhere.md").is_some() && broken(&here, text, "src/README.md#nothing").is_some());
    assert!(broken(&here, text, "#no-heading").is_some() && broken(&here, text, "#one-two").is_none());
    assert_eq!(broken(&here, text, "src/README.md#invariants"), None);
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
