//! The VeloZ command: parses the command line, loads the configuration, and calls into the library.

use clap::Parser as _;
use std::process::ExitCode;
use veloz::cli::{Cli, Command, ConfigCommand, EXIT_FAILURE, EXIT_OK, EXIT_USAGE};
use veloz::{
    alert_sink, audit, cancel_all, config, machine_check, record, replay, run, simulation, user,
    venue,
};

fn main() -> ExitCode {
    ExitCode::from(command())
}

fn command() -> u8 {
    let (command, files, mut flags) = match Cli::parse().into_command() {
        Ok(parts) => parts,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            return EXIT_USAGE;
        }
    };
    if let Command::Config(ConfigCommand::Default) = command {
        print!("{}", config::BUILT_IN);
        return EXIT_OK;
    }
    if let Command::Venue(arguments) = command {
        return match venue::run_foreground(arguments.into_config()) {
            Ok(()) => EXIT_OK,
            Err(error) => {
                eprintln!("{error}");
                EXIT_FAILURE
            }
        };
    }
    if let Command::Simulate(arguments) = command {
        return simulation::command::run(&arguments);
    }
    if let Command::AlertSink(arguments) = &command {
        return alert_sink::alert_sink(arguments);
    }
    if let Command::Record(arguments) = &command {
        // The user's own flags stay on top.
        flags.splice(0..0, arguments.flags());
    }
    let load = || {
        // A variable that is not UTF-8 still has to be refused by its name.
        let variables = std::env::vars_os().map(|(name, text)| {
            (
                name.to_string_lossy().into_owned(),
                text.to_string_lossy().into_owned(),
            )
        });
        config::load(&files, variables, &flags)
    };
    let loaded = match load() {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return EXIT_USAGE;
        }
    };
    if !matches!(
        command,
        Command::Run(_) | Command::Record(_) | Command::CancelAll(_)
    ) {
        end_quietly_on_closed_pipes();
    }
    match command {
        Command::Run(arguments) => run::run(&loaded, load, &arguments),
        Command::CancelAll(arguments) => cancel_all::cancel_all(&loaded, &arguments),
        Command::Record(arguments) => record::record(&loaded, &arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Import(arguments) => replay::import(&arguments),
        Command::Export(arguments) => replay::export(&arguments),
        Command::Check(arguments) => machine_check::check(&loaded, arguments.json),
        Command::Audit(command) => audit::audit(&loaded.config, &command),
        Command::User(command) => user::user(&loaded.config, &command),
        Command::Venue(_) | Command::Simulate(_) | Command::AlertSink(_) => {
            unreachable!("served above, without a configuration")
        }
        Command::Config(_) => {
            print!("{}", loaded.print());
            for warning in &loaded.warnings {
                eprintln!("warning: {warning}");
            }
            EXIT_OK
        }
    }
}

/// Lets `veloz config print | head` end as other commands do. What runs for long keeps Rust's answer,
/// an error: a reader of its log that goes away must not take the engine with it.
fn end_quietly_on_closed_pipes() {
    // SAFETY: no thread runs yet, and the default action needs no handler that could be called wrongly.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
