//! The public interface is what `api.txt` says: the declarations as the documentation shows them, made by the oldest compiler, so
//! that they do not change with the one that is used.

use crate::build::{cargo, directory, oldest};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use support::installed::succeed;
use support::places::repository;
use support::rustup::require_toolchain;

const HEADER: &str = "\
# The public interface of hmalloc, with all cargo features: what a release must not break unless its version says so.
# Written by: UPDATE=1 cargo nextest run --test adoption api
";

fn pages(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { pages(&path) } else { vec![path] }).collect()
}

/// The text of a piece of a page, on one line.
fn text(html: &str) -> String {
    let mut text = String::new();
    for (number, piece) in html.split('<').enumerate() {
        text += if number == 0 { piece } else { piece.split_once('>').map_or("", |(_, text)| text) };
    }
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&#39;", "'"), ("&quot;", "\""), ("&amp;", "&"), ("&nbsp;", " ")];
    let text = entities.iter().fold(text, |text, (entity, character)| text.replace(entity, character));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands between each `open` and the next `close`.
fn between<'a>(page: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    page.split(open).skip(1).filter_map(move |rest| rest.split_once(close)).map(|(inside, _)| inside)
}

/// The declarations on a page: the item itself, then its functions and what it implements.
fn declarations(page: &str) -> BTreeSet<String> {
    // What every type implements says nothing of this one.
    let own = page.split("id=\"blanket-implementations\"").next().unwrap_or_default();
    let items = between(own, "<pre class=\"rust item-decl\"><code>", "</code></pre>");
    let members = between(own, "class=\"code-header\">", "</h");
    items.chain(members).map(|html| text(html).replace(" Show ", " ")).filter(|line| !line.is_empty()).collect()
}

/// Whether a line on a type's page says what its other lines do not: that a trait is implemented says which functions there are, and
/// two marks are the compiler's own.
fn says_more(line: &str) -> bool {
    let implied = line.starts_with("fn ") || line.starts_with("unsafe fn ");
    !implied && !["Freeze for ", "StructuralPartialEq for "].iter().any(|mark| line.contains(mark))
}

fn listing() -> String {
    let word = require_toolchain(&oldest());
    let mut doc = cargo(&repository(""), "api");
    doc.args([&word, "doc", "--quiet", "--locked", "--package", "hmalloc", "--no-deps", "--all-features"]);
    succeed(&mut doc);
    let root = directory("api").join("doc/hmalloc");
    let mut pages = pages(&root);
    pages.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains('.')));
    pages.sort();
    let mut listing = HEADER.to_owned();
    for path in pages {
        let name = path.strip_prefix(&root).expect("a page").with_extension("");
        let mut declarations = declarations(&fs::read_to_string(&path).unwrap_or_default());
        declarations.retain(|line| name.to_string_lossy().contains("trait.") || says_more(line));
        if !declarations.is_empty() && !name.ends_with("index") {
            listing += &format!("\n{}\n", name.display());
            declarations.iter().for_each(|line| listing += &format!("    {line}\n"));
        }
    }
    listing
}

#[test]
fn the_public_interface_is_the_listed_one() {
    let path = repository("api.txt");
    let now = listing();
    let known = ["pub const fn new() -> Self", "GlobalAlloc for Hmalloc<L, B>"];
    known.iter().for_each(|line| assert!(now.contains(line), "{now}"));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &now).expect("api.txt can be written");
    }
    let listed = fs::read_to_string(&path).expect("api.txt");
    let [old, new] = [&listed, &now].map(|text| text.lines().collect::<BTreeSet<_>>());
    let (gone, more): (Vec<_>, Vec<_>) = (old.difference(&new).collect(), new.difference(&old).collect());
    assert!(
        listed == now,
        "the public interface is another one. If it is meant to be: UPDATE=1 cargo nextest run --test adoption api\n\
         gone: {gone:#?}\nmore: {more:#?}"
    );
}
