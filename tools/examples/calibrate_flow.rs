//! Writes the synthetic market's profiles from recorded market data.
//!
//! `cargo run -p veloz --example calibrate_flow -- <recordings> <profiles>`, where the first folder
//! holds `btcusdt_20240808.gz` and its companions and the second is
//! `tools/src/venue/flow/profile`. The same recordings give the same text.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use veloz::venue::flow::recorded::RECORDINGS;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [recordings, profiles] = arguments.as_slice() else {
        eprintln!("usage: calibrate_flow <folder of recordings> <folder of profiles>");
        return ExitCode::from(2);
    };
    match calibrate(recordings, profiles) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn calibrate(recordings: &Path, profiles: &Path) -> Result<(), Box<dyn std::error::Error>> {
    for recording in RECORDINGS {
        let profile = recording.profile(recordings)?;
        let file = format!("{}.toml", profile.symbol.to_lowercase());
        std::fs::write(profiles.join(file), toml::to_string(&profile)?)?;
    }
    Ok(())
}
