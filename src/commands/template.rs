//! `template`: renders a chart without a cluster.

use super::arguments::{OPERATION, OUTPUT, OutputArguments, PostRendererArguments};
use super::install::WantedArguments;
use super::load;
use super::rendering::ASSUMED_KUBERNETES;
use super::{Edge, leave};
use crate::chart::{Files, parse_kube_version};
use crate::compose::{self, Composition, Given};
use crate::error::{Error, Place, Result, nearest};
use crate::identity::{self, Source};
use crate::manifest::{self, HookEvent, Object};
use crate::plan::mask::{self, Masker};
use crate::release::ReleaseName;
use crate::render::{self, Capabilities};
use crate::values::SECRET;
use clap::{ArgAction, Args, ValueHint};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Render a chart and print its manifest, without a cluster
///
/// Prints the manifest that an install would apply. Lookups return nothing. Secrets are hidden
/// unless --show-secrets is given. Identities are not part of the manifest: an install generates
/// them.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric template org1                                   the whole manifest
  kubectl fabric template org1 -s 'templates/peer*'            some templates only
  kubectl fabric template org1 ./my-chart --output-dir out       one file per template
  kubectl fabric template org1 -o json | jq -r .items[].kind     for programs")]
pub struct Arguments {
    /// Name of the release
    #[arg(value_name = "RELEASE", value_hint = ValueHint::Other)]
    pub release: String,

    #[command(flatten)]
    pub wanted: WantedArguments,

    #[command(flatten)]
    pub post_renderer: PostRendererArguments,

    /// Show only these templates, by path in the chart, with the wildcards `*` and `?`; may be
    /// repeated
    #[arg(short, long, value_name = "GLOB", value_delimiter = ',', action = ArgAction::Append, help_heading = OUTPUT)]
    pub show_only: Vec<String>,

    /// Write one file per template below this folder instead of printing
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, help_heading = OUTPUT)]
    pub output_dir: Option<PathBuf>,

    /// With --output-dir, add the release's name to the path
    #[arg(long, help_heading = OUTPUT)]
    pub release_name: bool,

    /// Kubernetes version that templates see in `capabilities`
    #[arg(long, value_name = "VERSION", default_value = ASSUMED_KUBERNETES, help_heading = OPERATION)]
    pub kube_version: String,

    /// API version that templates see as available, such as networking.k8s.io/v1; may be repeated
    #[arg(short, long, value_name = "API", value_delimiter = ',', action = ArgAction::Append, help_heading = OPERATION)]
    pub api_versions: Vec<String>,

    /// Render as for an upgrade instead of an install
    #[arg(long, help_heading = OPERATION)]
    pub is_upgrade: bool,

    /// Do not print tests
    #[arg(long, help_heading = OPERATION)]
    pub skip_tests: bool,

    /// Do not print hooks
    #[arg(long, help_heading = OPERATION)]
    pub no_hooks: bool,

    /// Show the data of Secrets
    #[arg(long, help_heading = OUTPUT)]
    pub show_secrets: bool,

    /// Address and port of the API server: `-s` is --show-only here
    #[arg(long, id = "server", hide = true)]
    pub server: Option<String>,

    #[command(flatten)]
    pub output: OutputArguments,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    let release = ReleaseName::parse(&arguments.release)?;
    let kube_version = kubernetes_version(&arguments.kube_version)?;
    let wanted = &arguments.wanted;
    let chart = wanted.chart.resolve(release.as_str())?;
    let namespace = edge.connection.namespace_of(release.as_str())?;
    let mut composition = compose::compose(Given {
        chart: &chart,
        release: release.as_str(),
        namespace: &namespace,
        user_values: wanted.values.load()?,
        defaults: None,
        fabric_version: wanted.fabric_version.as_deref(),
        skip_schema_validation: wanted.skip_schema_validation,
        stored_secrets: Default::default(),
    })?;
    // Identities are not part of the manifest, but missing ones in the folder are reported here
    // too.
    if let (source @ Source::CryptoConfig { .. }, Some(organization)) =
        (wanted.identities()?, &composition.organization)
    {
        let items = identity::plan(organization, &BTreeMap::new(), &source, edge.now)?.items;
        composition.mount(&items);
    }
    let capabilities = Capabilities {
        kube_version,
        api_versions: arguments.api_versions.clone(),
    };
    let (name, format) = (&chart.metadata.name, arguments.output.output);
    if arguments.output_dir.is_none() && !format.is_table() {
        let items = shown(&arguments, &composition, capabilities, edge, |object| {
            object.body
        })?;
        let mut list = json!({ "apiVersion": "v1", "kind": "List" });
        list["items"] = items.into_iter().map(|shown| shown.content).collect();
        edge.terminal.print_named(format, &list)?;
        return Ok(ExitCode::SUCCESS);
    }
    let texts = shown(&arguments, &composition, capabilities, edge, |object| {
        manifest::to_yaml(name, [object])
    })?;
    match &arguments.output_dir {
        Some(folder) => write(&arguments, folder, name, texts, edge)?,
        None => print(&texts, edge)?,
    }
    leave(composition);
    Ok(ExitCode::SUCCESS)
}

/// An object in the form for the output.
struct Shown<T> {
    /// The path of its template in the chart.
    template: String,
    is_secret: bool,
    content: T,
}

/// Renders the requested objects. Each object becomes text right away, because trees use much more
/// memory.
fn shown<T: Send + Sync>(
    arguments: &Arguments,
    composition: &Composition,
    capabilities: Capabilities,
    edge: &Edge,
    content: impl Fn(Object) -> T + Sync,
) -> Result<Vec<Shown<T>>> {
    let hider = (!arguments.show_secrets).then(|| Hider::new(composition, edge));
    let settle = |mut object: Object| {
        hider.iter().for_each(|hider| hider.hide(&mut object));
        Shown {
            template: object.source.template.clone(),
            is_secret: mask::is_secret(&object.key),
            content: content(object),
        }
    };
    let input = composition.input(1, arguments.is_upgrade, capabilities, None);
    let output = match arguments.post_renderer.choice() {
        None => render::render_into(&input, settle)?,
        Some(program) => {
            let rendered = render::render(&input)?;
            let values = &composition.values;
            let secrets = Masker::secrets_of(&values.all.tree, &values.secret_paths);
            let changed =
                edge.wait_for(program.run(&input.chart.metadata.name, &rendered.objects, secrets))?;
            let changed = render::reread(
                input.chart,
                &input.release.namespace,
                input.hashing.clone(),
                changed,
                settle,
            )?;
            render::Output {
                hooks: [rendered.hooks, changed.hooks].concat(),
                notes: rendered.notes,
                ..changed
            }
        }
    };
    for warning in &composition.values.warnings {
        edge.terminal.warn(warning);
    }
    let mut all = output.objects;
    let is_test = |events: &[HookEvent]| events.iter().all(|event| *event == HookEvent::Test);
    let left_out =
        |events: &[HookEvent]| arguments.no_hooks || (arguments.skip_tests && is_test(events));
    let hooks = output
        .hooks
        .into_iter()
        .filter(|hook| !left_out(&hook.events));
    all.extend(hooks.map(|hook| settle(hook.object)));
    let shown = shown_only(all, &arguments.show_only, &input.chart.metadata.name)?;
    if hider.is_some() {
        note_hidden(shown.iter().filter(|shown| shown.is_secret).count(), edge);
    }
    Ok(shown)
}

/// `1.33`, `v1.33.0` and `1.33.0` mean the same.
fn kubernetes_version(text: &str) -> Result<String> {
    let full = if text.split('.').count() == 2 {
        format!("{text}.0")
    } else {
        text.to_owned()
    };
    match parse_kube_version(&full) {
        Some(version) => Ok(format!("v{version}")),
        None => Err(
            Error::user(format!("\"{text}\" is not a Kubernetes version"))
                .hint("expected a version such as 1.33 or v1.33.0"),
        ),
    }
}

/// Replaces every secret with the same word, so that the output is the same for every run.
struct Hider {
    masker: Masker,
    mask: regex::Regex,
}

impl Hider {
    fn new(composition: &Composition, edge: &Edge) -> Hider {
        let secrets = Masker::secrets_of(
            &composition.values.all.tree,
            &composition.values.secret_paths,
        );
        Hider {
            // The key is new in each run, so masks of two runs cannot be compared.
            masker: Masker::new(&edge.now.as_nanosecond().to_be_bytes(), secrets),
            mask: regex::Regex::new(r"\(secret [0-9a-f]{16}\)").expect("the pattern is fixed"),
        }
    }

    fn hide(&self, object: &mut Object) {
        let mut taken = BTreeMap::new();
        let secret = mask::object_pointers(&object.body);
        self.masker.take(&mut object.body, "", &secret, &mut taken);
        if !taken.is_empty() {
            self.replace_masks(&mut object.body);
        }
    }

    fn replace_masks(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask.replace_all(text, SECRET).into_owned(),
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace_masks(item)),
            Value::Object(fields) => fields
                .values_mut()
                .for_each(|field| self.replace_masks(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The objects of the templates that match the patterns. A pattern without a match is an error, as
/// in Helm.
fn shown_only<T>(
    objects: Vec<Shown<T>>,
    patterns: &[String],
    chart: &str,
) -> Result<Vec<Shown<T>>> {
    if patterns.is_empty() {
        return Ok(objects);
    }
    let mut shown = vec![false; objects.len()];
    for pattern in patterns {
        let below = pattern
            .strip_prefix(&format!("{chart}/"))
            .unwrap_or(pattern);
        let expression = glob(below)?;
        let mut found = false;
        for (object, shown) in objects.iter().zip(&mut shown) {
            if expression.is_match(&object.template) {
                (found, *shown) = (true, true);
            }
        }
        if !found {
            let error = Error::user(format!("could not find template {pattern} in chart"));
            let near = nearest(below, objects.iter().map(|object| object.template.as_str()));
            return Err(match near {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint(
                    "give the path of the template in the chart, such as templates/peers.yaml",
                ),
            });
        }
    }
    let kept = objects.into_iter().zip(shown).filter(|(_, shown)| *shown);
    Ok(kept.map(|(object, _)| object).collect())
}

/// `*` and `?` stay within one folder, as in a shell.
fn glob(pattern: &str) -> Result<regex::Regex> {
    let expression: String = pattern
        .chars()
        .map(|character| match character {
            '*' => "[^/]*".to_owned(),
            '?' => "[^/]".to_owned(),
            other => regex::escape(&other.to_string()),
        })
        .collect();
    regex::Regex::new(&format!("^{expression}$")).map_err(|error| {
        Error::user("--show-only is not a valid pattern")
            .at(Place::new("--show-only").note(error.to_string()))
    })
}

fn note_hidden(secrets: usize, edge: &Edge) {
    let of = match secrets {
        0 => return,
        1 => "1 Secret".to_owned(),
        _ => format!("{secrets} Secrets"),
    };
    edge.terminal.note(&format!(
        "the data of {of} is hidden: --show-secrets shows it"
    ));
}

/// Approximate size of one write.
const PRINTED_AT_ONCE: usize = 64 << 10;

fn print(texts: &[Shown<String>], edge: &Edge) -> Result<()> {
    let mut gathered = String::with_capacity(PRINTED_AT_ONCE);
    for shown in texts {
        gathered.push_str(&shown.content);
        if gathered.len() >= PRINTED_AT_ONCE {
            edge.terminal.print_plain(&gathered)?;
            gathered.clear();
        }
    }
    edge.terminal.print_plain(&gathered)
}

fn write(
    arguments: &Arguments,
    folder: &Path,
    chart: &str,
    texts: Vec<Shown<String>>,
    edge: &Edge,
) -> Result<()> {
    let mut files = Files::new();
    let above = if arguments.release_name {
        format!("{}/", arguments.release)
    } else {
        String::new()
    };
    for shown in texts {
        files
            .entry(format!("{above}{chart}/{}", shown.template))
            .or_default()
            .extend(shown.content.into_bytes());
    }
    load::write_files(&files, folder)?;
    let wrote: String = files
        .keys()
        .map(|file| format!("wrote {}\n", folder.join(file).display()))
        .collect();
    edge.terminal.print(&wrote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_stays_within_its_folder() {
        let matches = |pattern: &str, path: &str| glob(pattern).unwrap().is_match(path);
        assert!(matches("templates/*.yaml", "templates/peers.yaml"));
        assert!(!matches("templates/*.yaml", "templates/ca/server.yaml"));
        assert!(matches("templates/peer?.yaml", "templates/peers.yaml"));
        assert!(!matches("templates/peers.yaml", "templates/peersXyaml"));
    }

    #[test]
    fn kubernetes_versions_may_be_short() {
        for text in ["1.33", "v1.33", "1.33.0", "v1.33.0"] {
            assert_eq!(kubernetes_version(text).unwrap(), "v1.33.0");
        }
        assert!(kubernetes_version("latest").is_err());
    }
}
