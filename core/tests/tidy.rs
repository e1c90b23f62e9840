//! The law of the core that no lint can state, read from the source itself.

use std::fs;
use std::path::{Path, PathBuf};

/// What only `edge` may name: the operating system, in every form that this package can reach it.
const EDGE_ONLY: [&str; 15] = [
    "std::net",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::os",
    "std::time",
    "Instant",
    "SystemTime",
    "libc::",
    "mio::",
    "rustls::",
    "tungstenite::",
    "core_affinity::",
    "RandomState",
];

/// Exceptions: file, and the one line that stands in it.
const EXCEPTIONS: [(&str, &str); 1] = [
    // A reader in the sidecar gives way to the writer; the core never reads.
    ("telemetry/seqlock.rs", "std::thread::yield_now();"),
];

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The lines of a file that are in the product: no comments, and nothing from its tests on.
fn product_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(all(test"))
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
}

#[test]
fn only_the_edge_names_the_operating_system() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&source, &mut files);
    let (mut checked, mut excused, mut edge_names) = (0, 0, 0);
    for file in &files {
        let name = file.strip_prefix(&source).expect("found there");
        let name = name.to_str().expect("plain names");
        if name.ends_with("tests.rs") {
            continue;
        }
        let in_edge = name == "edge.rs" || name.starts_with("edge/");
        checked += 1;
        let text = fs::read_to_string(file).expect("a source file");
        for line in product_lines(&text) {
            let Some(word) = EDGE_ONLY.iter().find(|word| line.contains(*word)) else {
                continue;
            };
            if in_edge {
                edge_names += 1;
            } else if EXCEPTIONS.contains(&(name, line)) {
                excused += 1;
            } else {
                panic!("src/{name} names {word}, which only edge may: {line}");
            }
        }
    }
    assert!(checked > 40, "{checked} files: the source has moved");
    assert!(edge_names > 10, "the words are found where they may stand");
    assert_eq!(excused, EXCEPTIONS.len(), "an exception that is not needed");
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = include_str!("../Cargo.toml");
    let (_, rest) = manifest
        .split_once("\n[dependencies]\n")
        .expect("there are dependencies");
    let (dependencies, _) = rest.split_once("\n[").expect("another section follows");
    let mut reasoned = false;
    let mut count = 0;
    for line in dependencies.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            reasoned = true;
            continue;
        }
        count += 1;
        // serde_json shares the reason of serde.
        assert!(
            reasoned || line.starts_with("serde_json"),
            "no reason above {line}"
        );
        reasoned = false;
    }
    assert!(count >= 10, "{count} dependencies were found");
}
