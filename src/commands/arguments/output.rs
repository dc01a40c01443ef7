//! `-o`: how a result is written.

use super::OUTPUT;
use clap::{Args, ValueEnum};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One line of JSON, with Helm's keys where Helm has such a document
    Json,
    /// The same document as YAML
    Yaml,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = OUTPUT)]
pub struct OutputArguments {
    /// How to print the result
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "How to print the result: table, json or yaml"
    )]
    pub output: Format,
}
