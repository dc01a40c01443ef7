//! The sources of the user's values: Helm's flags, with Helm's precedence.

use super::CHART;
use crate::commands::{complete, load};
use crate::error::Result;
use crate::values::{self, Source, Values};
use clap::{ArgAction, Args, ValueHint};
use clap_complete::ArgValueCompleter;

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = CHART)]
pub struct ValuesArguments {
    /// Values file; may be repeated, the last one wins; `-` reads standard input
    ///
    /// Files are YAML or JSON; one flag may name several, separated by commas. The order of
    /// precedence is Helm's: the chart's defaults, then all `-f`, then all --set-json, --set,
    /// --set-string, --set-file and --set-literal.
    #[arg(short = 'f', long = "values", value_name = "FILE", value_delimiter = ',', action = ArgAction::Append, value_hint = ValueHint::FilePath)]
    pub files: Vec<String>,

    /// One or more values: key=value[,key=value], such as peers.count=3
    ///
    /// Write a list as `a.b={x,y}`, and an item of a list as `list[0].name=n`. Numbers, true, false
    /// and null keep their type. Escape commas, dots and equals signs with a backslash.
    #[arg(long, value_name = "KEY=VALUE", action = ArgAction::Append, add = ArgValueCompleter::new(complete::settings))]
    pub set: Vec<String>,

    /// Like --set, but every value is a string
    #[arg(long, value_name = "KEY=VALUE", action = ArgAction::Append, hide_short_help = true, add = ArgValueCompleter::new(complete::settings))]
    pub set_string: Vec<String>,

    /// Like --set, but with JSON values: key=JSON, or one JSON object
    #[arg(long, value_name = "KEY=JSON", action = ArgAction::Append, hide_short_help = true, add = ArgValueCompleter::new(complete::settings))]
    pub set_json: Vec<String>,

    /// Set a value to the content of a file: key=path
    #[arg(long, value_name = "KEY=PATH", action = ArgAction::Append, hide_short_help = true, add = ArgValueCompleter::new(complete::settings))]
    pub set_file: Vec<String>,

    /// Set one value to the literal text after the equals sign; commas, braces and backslashes are
    /// not special
    #[arg(long, value_name = "KEY=VALUE", action = ArgAction::Append, hide_short_help = true, add = ArgValueCompleter::new(complete::settings))]
    pub set_literal: Vec<String>,
}

impl ValuesArguments {
    /// Whether `-f -` reads standard input.
    pub fn uses_stdin(&self) -> bool {
        self.files.iter().any(|file| file == "-")
    }

    /// Reads the files and merges everything into the user's values.
    pub fn load(&self) -> Result<Values> {
        let mut sources = Vec::new();
        load::refuse_second_stdin(&self.files)?;
        for file in &self.files {
            let (name, text) = load::values_file(file)?;
            sources.push(Source::File { name, text });
        }
        sources.extend(self.set_json.iter().cloned().map(Source::SetJson));
        sources.extend(self.set.iter().cloned().map(Source::Set));
        sources.extend(self.set_string.iter().cloned().map(Source::SetString));
        for argument in &self.set_file {
            for (key, path) in values::file_settings(argument)? {
                let content = load::set_file(&key, &path)?;
                sources.push(Source::SetFile { key, path, content });
            }
        }
        sources.extend(self.set_literal.iter().cloned().map(Source::SetLiteral));
        values::from_sources(sources)
    }
}
