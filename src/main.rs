//! Parses the arguments, builds the edge, runs one command, prints, exits. Nothing else.

use clap_complete::CompleteEnv;
use jiff::Timestamp;
use kubectl_fabric::commands::usage::{advise, asks_for_json, is_help};
use kubectl_fabric::commands::{self, Edge, Format, complete};
use kubectl_fabric::terminal::{self, Terminal};
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    terminal::report_panics();
    CompleteEnv::with_factory(complete::command)
        .var(complete::VARIABLE)
        .bin("kubectl-fabric")
        .complete();
    let arguments = complete::as_kubectl_asks(std::env::args_os());
    let now = Timestamp::now();
    let (cli, format) = match commands::parse(arguments.iter().cloned()) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&advise(error), &arguments, now),
    };
    terminal::trace(cli.connection.verbosity);
    let terminal = Arc::new(Terminal::new(now, format));
    let edge = Edge {
        terminal: Arc::clone(&terminal),
        now,
        connection: cli.connection,
    };
    match commands::run(cli.command, &edge) {
        Ok(status) => status,
        Err(error) => {
            terminal.fail(&error);
            ExitCode::from(error.kind().exit_status())
        }
    }
}

/// Prints help, or what is wrong with the arguments.
fn usage(report: &clap::Error, arguments: &[OsString], now: Timestamp) -> ExitCode {
    let json = asks_for_json(arguments);
    let failed = match is_help(report) || !json {
        true => terminal::print_usage(report).err(),
        false => Some(commands::usage::error(report)),
    };
    let format = if json {
        Format::Json
    } else {
        Format::default()
    };
    match failed {
        Some(error) => {
            Terminal::new(now, format).fail(&error);
            ExitCode::from(error.kind().exit_status())
        }
        None if is_help(report) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}
