//! VeloZ against its peers. Every group runs all its contestants interleaved in this one process,
//! after checking that they compute the same, and holds each ratio against its gate.
//!
//! `cargo run --release` runs all groups, `cargo run --release -- book ring` these. The exit code
//! is 1 when a gate failed. Absolute figures depend on the machine and its mood; ratios do not.

mod book;
mod decode;
mod measure;
mod ring;
mod scrape;
mod websocket;

type Group = (&'static str, fn() -> bool);

const GROUPS: [Group; 5] = [
    ("decode", decode::run),
    ("book", book::run),
    ("ring", ring::run),
    ("scrape", scrape::run),
    ("websocket", websocket::run),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &String| GROUPS.iter().any(|(group, _)| group == name);
    if let Some(name) = wanted.iter().find(|name| !known(name)) {
        eprintln!("{name} is none of {:?}", GROUPS.map(|(group, _)| group));
        std::process::exit(2);
    }
    let mut held = true;
    for (name, run) in GROUPS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            held &= run();
        }
    }
    std::process::exit(i32::from(!held));
}
