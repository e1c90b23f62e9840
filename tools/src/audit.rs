//! `veloz audit`: proves that an audit log is whole, or names the first record that is not.
//!
//! Owns: the command. Does not: read records (`veloz_exporter::audit`), or change anything.

use crate::cli::{AuditCommand, EXIT_FAILURE, EXIT_OK};
use crate::config::Config;
use std::path::{Path, PathBuf};
use veloz_exporter::audit::files::heads_file;
use veloz_exporter::audit::verify::{Report, verify_with};

/// Runs the command.
pub fn audit(config: &Config, command: &AuditCommand) -> u8 {
    let AuditCommand::Verify { directory } = command;
    let directory = match directory {
        Some(directory) => Ok(directory.clone()),
        None => configured(config),
    };
    let outcome = directory.and_then(|directory| {
        let variable = |name: &str| std::env::var(name).ok();
        let heads = config.state_directory(variable).ok();
        let heads = heads.map(|state| heads_file(&state, &directory));
        verify_with(&directory, heads.as_deref())
            .map(|report| (told(&directory, &report), report.fault.is_none()))
            .map_err(|error| format!("{}: {error}", directory.display()))
    });
    match outcome {
        Ok((text, true)) => {
            println!("{text}");
            EXIT_OK
        }
        Ok((text, false)) => {
            eprintln!("{text}");
            EXIT_FAILURE
        }
        Err(sentence) => {
            eprintln!("error: {sentence}");
            EXIT_FAILURE
        }
    }
}

fn configured(config: &Config) -> Result<PathBuf, String> {
    config
        .audit_directory(|name| std::env::var(name).ok())
        .map_err(|error| error.to_string())?
        .ok_or_else(|| {
            "this configuration keeps no audit log: name a directory, or set audit.dir".to_owned()
        })
}

fn told(directory: &Path, report: &Report) -> String {
    let directory = directory.display();
    if let Some(fault) = &report.fault {
        return format!("{directory}: {fault}");
    }
    let streams: Vec<String> = report
        .streams
        .iter()
        .map(|(log_type, records)| format!("{} {records}", log_type.label()))
        .collect();
    format!(
        "{directory}: whole, {} records ({})",
        report.records(),
        streams.join(", ")
    )
}
