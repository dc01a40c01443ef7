//! `-o`: the output format.

use super::{JsonPath, OUTPUT};
use crate::commands::complete;
use clap::Args;
use clap_complete::ArgValueCompleter;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Format {
    /// Human-readable table
    #[default]
    Table,
    /// The table with additional columns
    Wide,
    /// Names only, one per line: releases, revisions, or objects as kubectl names them
    Name,
    /// One line of JSON
    Json,
    /// The same document as YAML
    Yaml,
    /// The fields that a template selects. The template is read once and lives as long as the
    /// program.
    JsonPath(&'static JsonPath),
}

/// The formats, with their descriptions for completion.
pub const FORMATS: [(&str, &str); 6] = [
    ("table", "a readable table"),
    ("wide", "with more columns"),
    ("name", "only names, one per line"),
    ("json", "one line of JSON"),
    ("yaml", "the same document as YAML"),
    ("jsonpath=", "fields that a template selects"),
];

impl Format {
    /// Whether the format is a table for people.
    pub fn is_table(self) -> bool {
        matches!(self, Format::Table | Format::Wide)
    }

    /// Whether results and errors are JSON.
    pub fn is_json(self) -> bool {
        self == Format::Json
    }

    fn parse(text: &str) -> Result<Format, String> {
        let (name, template) = text
            .split_once('=')
            .map_or((text, None), |(name, template)| (name, Some(template)));
        match (name, template) {
            ("table", None) => Ok(Format::Table),
            ("wide", None) => Ok(Format::Wide),
            ("name", None) => Ok(Format::Name),
            ("json", None) => Ok(Format::Json),
            ("yaml", None) => Ok(Format::Yaml),
            ("jsonpath", Some(template)) => Ok(Format::JsonPath(Box::leak(Box::new(
                JsonPath::parse(template)?,
            )))),
            ("jsonpath", None) => Err("missing template, such as -o jsonpath='{.name}'".to_owned()),
            (
                "go-template" | "go-template-file" | "template" | "custom-columns"
                | "jsonpath-file" | "jsonpath-as-json",
                _,
            ) => Err(format!(
                "{name} is not supported; use -o jsonpath=TEMPLATE, or -o json with jq"
            )),
            _ => Err("expected table, wide, name, json, yaml or jsonpath=TEMPLATE".to_owned()),
        }
    }
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = OUTPUT)]
pub struct OutputArguments {
    /// Output format: table, wide, name, json, yaml or jsonpath=TEMPLATE
    ///
    /// wide adds columns. name prints only names, one per line. jsonpath takes kubectl's templates,
    /// such as jsonpath='{.items[*].name}'; a list is under .items. With json, errors on stderr are
    /// JSON too.
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_parser = Format::parse, default_value = "table",
        add = ArgValueCompleter::new(complete::formats))]
    pub output: Format,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_kubectl_s_and_what_is_not_supported_says_what_is() {
        for (text, _) in FORMATS.iter().filter(|(name, _)| !name.ends_with('=')) {
            assert!(Format::parse(text).is_ok(), "{text}");
        }
        assert!(matches!(
            Format::parse("jsonpath={.items[?(@.a=='b')].c}"),
            Ok(Format::JsonPath(_))
        ));
        for (text, expected) in [
            ("go-template={{.name}}", "jsonpath"),
            ("custom-columns=A:.a", "jsonpath"),
            ("jsonpath", "missing"),
            ("jsonpath=.name", "{.name}"),
            ("xml", "expected table"),
            ("json=x", "expected table"),
        ] {
            assert!(
                Format::parse(text).unwrap_err().contains(expected),
                "{text}"
            );
        }
    }
}
