//! Says which file has the orderings: `HMALLOC_LEARN_ORDERINGS`, or the exercise as it is.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=HMALLOC_LEARN_ORDERINGS");
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo says where this is");
    let usual = Path::new(&here).join("../exercises/e8_orderings.rs").display().to_string();
    let file = env::var("HMALLOC_LEARN_ORDERINGS").unwrap_or(usual);
    println!("cargo::rerun-if-changed={file}");
    let out = Path::new(&env::var("OUT_DIR").expect("cargo says where to write")).join("exercise.rs");
    let text = format!(
        "#[allow(warnings, missing_docs, unreachable_pub, clippy::all, reason = \"it is the learner's\")]\n#[path = {file:?}]\nmod exercise;\n"
    );
    std::fs::write(out, text).expect("the build folder can be written");
}
