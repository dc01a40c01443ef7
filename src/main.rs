//! Parses the arguments, builds the edge, runs one command, prints, exits. Nothing else.

use clap_complete::CompleteEnv;
use jiff::Timestamp;
use kubectl_fabric::commands::{self, Edge, complete};
use kubectl_fabric::terminal::{self, Terminal};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    terminal::report_panics();
    CompleteEnv::with_factory(complete::command)
        .var(complete::VARIABLE)
        .bin("kubectl-fabric")
        .complete();
    let arguments = complete::as_kubectl_asks(std::env::args_os());
    let (cli, format) = match commands::parse(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = commands::advise(error);
            if let Err(error) = terminal::print_usage(&error) {
                Terminal::default().fail(&error);
                return ExitCode::from(error.kind().exit_status());
            }
            return commands::usage_status(&error);
        }
    };
    terminal::trace(cli.connection.verbosity);
    let now = Timestamp::now();
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
