//! Parses a file of documents, changes each, and prints them with their keys in order.

use crate::Outcome;
use serde_json::{Map, Value};
use std::io::Write;

pub(super) fn run(file: &str, output: &mut impl Write) -> Outcome {
    let text = std::fs::read_to_string(file)?;
    // All of them are live at once, as where a program filters or sorts what it has read.
    let mut documents = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    drop(text);
    documents.sort_by_cached_key(|document| document["name"].as_str().map(str::to_owned));
    documents.iter_mut().for_each(change);
    for document in &documents {
        writeln!(output, "{}", serde_json::to_string(document)?)?;
    }
    // A second time, pretty and back, one after the other: what is freed soon.
    for document in documents.iter().step_by(2) {
        let pretty = serde_json::to_string_pretty(document)?;
        let same: Value = serde_json::from_str(&pretty)?;
        writeln!(output, "{} {}", pretty.len(), same == *document)?;
    }
    Ok(())
}

/// Adds a summary, drops empty lists and turns the tags into an object.
fn change(document: &mut Value) {
    let Some(fields) = document.as_object_mut() else { return };
    if let Some(Value::Array(tags)) = fields.remove("tags") {
        let tags = tags.into_iter().enumerate().map(|(rank, tag)| (tag.as_str().unwrap_or("").to_owned(), rank.into()));
        fields.insert("ranks".to_owned(), Value::Object(tags.collect::<Map<_, _>>()));
    }
    fields.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
    let summary = fields.keys().cloned().collect::<Vec<_>>().join(",");
    fields.insert("summary".to_owned(), summary.into());
}
