//! `completion`: completion scripts for shells and kubectl.

use super::{Edge, complete};
use crate::error::{Error, Result};
use clap::{Args, ValueEnum};
use clap_complete::env::Shells;
use std::process::ExitCode;

/// Print the completion script for kubectl or a shell
///
/// To complete `kubectl fabric`, kubectl runs a program named kubectl_complete-fabric from the
/// PATH; `completion kubectl` prints it. Set up kubectl's own completion in your shell first. The
/// scripts for shells complete the program under its own name, kubectl-fabric. Completion includes
/// the names of releases, revisions, namespaces, contexts and charts.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric completion kubectl > ~/.local/bin/kubectl_complete-fabric && chmod +x ~/.local/bin/kubectl_complete-fabric
  source <(kubectl-fabric completion bash)                          in ~/.bashrc
  source <(kubectl-fabric completion zsh)                           in ~/.zshrc
  kubectl-fabric completion fish | source                           in ~/.config/fish/config.fish
  kubectl-fabric completion powershell | Out-String | Invoke-Expression")]
pub struct Arguments {
    /// The shell, or kubectl
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
    /// kubectl_complete-fabric, which kubectl's own completion runs
    Kubectl,
}

/// The contract is kubectl's: the words as arguments, one candidate per line.
/// <https://kubernetes.io/docs/reference/kubectl/generated/kubectl_plugin/>
const KUBECTL_COMPLETE: &str = "#!/bin/sh\nexec kubectl-fabric __complete \"$@\"\n";

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let script = match arguments.shell {
        Shell::Kubectl => KUBECTL_COMPLETE.to_owned(),
        Shell::Bash => script("bash")?,
        Shell::Zsh => script("zsh")?,
        Shell::Fish => script("fish")?,
        Shell::Powershell => script("powershell")?,
    };
    edge.terminal.print_plain(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// A script that calls the program for every completion, so that it never gets out of date.
fn script(shell: &str) -> Result<String> {
    let shells = Shells::builtins();
    let completer = shells
        .completer(shell)
        .ok_or_else(|| Error::internal(format!("no completion for {shell}")))?;
    let mut script = Vec::new();
    let name = super::command().get_name().to_owned();
    completer
        .write_registration(complete::VARIABLE, &name, &name, &name, &mut script)
        .map_err(|error| Error::internal(format!("no completion script for {shell}: {error}")))?;
    // bash: no space after a map of values (`peers.`) either.
    Ok(String::from_utf8_lossy(&script).replace("=~ [=/:]$", "=~ [=/:.]$"))
}
