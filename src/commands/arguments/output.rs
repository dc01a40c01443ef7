//! `-o`: how a result is written.

use super::{JsonPath, OUTPUT};
use crate::commands::complete;
use clap::Args;
use clap_complete::ArgValueCompleter;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// The table with more columns, where there are more
    Wide,
    /// Names alone, one a line: releases, revisions, or objects as kubectl names them
    Name,
    /// One line of JSON
    Json,
    /// The same document as YAML
    Yaml,
    /// What a template takes of the document. It is read once and lives as long as the program.
    JsonPath(&'static JsonPath),
}

/// The formats, with what completion says of them.
pub const FORMATS: [(&str, &str); 6] = [
    ("table", "for people"),
    ("wide", "with more columns"),
    ("name", "names alone, one a line"),
    ("json", "one line of JSON"),
    ("yaml", "the same document as YAML"),
    ("jsonpath=", "what a template takes of the document"),
];

impl Format {
    /// Whether it is for people.
    pub fn is_table(self) -> bool {
        matches!(self, Format::Table | Format::Wide)
    }

    /// Whether a program reads it as JSON, and errors too.
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
            ("jsonpath", None) => Err("a template is missing: -o jsonpath='{.name}'".to_owned()),
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
    /// How to print the result: table, wide, name, json, yaml or jsonpath=TEMPLATE
    ///
    /// wide has more columns where there are more. name prints names alone, one a line. jsonpath is
    /// kubectl's, such as jsonpath='{.items[*].name}'; a list is found under .items. With json, an
    /// error is JSON too, on stderr.
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
        for (text, told) in [
            ("go-template={{.name}}", "jsonpath"),
            ("custom-columns=A:.a", "jsonpath"),
            ("jsonpath", "missing"),
            ("jsonpath=.name", "{.name}"),
            ("xml", "expected table"),
            ("json=x", "expected table"),
        ] {
            assert!(Format::parse(text).unwrap_err().contains(told), "{text}");
        }
    }
}
