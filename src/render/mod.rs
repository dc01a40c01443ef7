//! Renders a chart, its values and facts about the release into objects, hooks and notes. No I/O,
//! no clock, no randomness: equal inputs give equal bytes.

use crate::chart::{Chart, Range, parse_kube_version};
use crate::error::{Error, Place, Result};
use crate::manifest::hook::hook_order;
use crate::manifest::{Hook, Object, ObjectKey, install_order};
pub use config_hash::is_workload;
use documents::{HookOrObject, Parsed, Reader, Rendered};
use locate::Sources;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use threads::Threads;

mod config_hash;
mod threads;
mod data;
mod documents;
mod environment;
mod files;
mod form;
mod functions;
mod locate;

pub use config_hash::{Hashing, recorded as config_hash_of};

/// The variable `release` of templates.
#[derive(Clone, Debug)]
pub struct Release {
    pub name: String,
    pub namespace: String,
    pub revision: u32,
    pub is_install: bool,
    pub is_upgrade: bool,
}

/// The variable `capabilities` of templates: facts about the live cluster, or assumptions without
/// one.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// `v1.33.0`
    pub kube_version: String,
    /// Such as `apps/v1` and `networking.k8s.io/v1/Ingress`. Empty if unknown.
    pub api_versions: Vec<String>,
}

/// Answers `lookup(api_version, kind, namespace, name)` with an object, a list, or an empty map.
/// Shared with the template engine.
pub type Lookup = Arc<dyn Fn(&str, &str, &str, &str) -> Result<Value> + Send + Sync>;

pub struct Input<'a> {
    pub chart: &'a Chart,
    pub values: &'a Value,
    pub release: Release,
    pub capabilities: Capabilities,
    /// The variable `fabric` of templates, from `fabric::facts`.
    pub fabric: Value,
    /// `None` means offline: all lookups are empty.
    pub lookup: Option<Lookup>,
    /// Settings of the hashes of the data that pods read.
    pub hashing: Hashing,
}

#[derive(Debug)]
pub struct Output<T = Object> {
    /// In the order of application.
    pub objects: Vec<T>,
    pub hooks: Vec<Hook>,
    pub notes: String,
}

impl<T> Default for Output<T> {
    fn default() -> Output<T> {
        Output {
            objects: Vec::new(),
            hooks: Vec::new(),
            notes: String::new(),
        }
    }
}

/// Limit on the rendered size of a chart.
const MAX_RENDERED: usize = 64 << 20;

/// Limit on the steps of one template.
///
/// A step is an instruction or 64 bytes of data, so a template can produce half a GiB at most. A
/// thousand objects take about a million steps.
const FUEL: u64 = 8_000_000;

/// Limit on the length of a template. The engine parses a chain of operators (`a.b.c`, `1+1+1`)
/// with recursion of the same depth, for which [`STACK`] has room.
const MAX_TEMPLATE: usize = 256 << 10;

/// Stack size for rendering.
///
/// The template engine parses and drops nested expressions recursively, as deep as the longest
/// template and its steps allow. Only address space is reserved; unused parts take no memory.
const STACK: usize = 512 << 20;

/// The template name in errors about the output of a post-renderer.
const POST_RENDERED: &str = "post-renderer";

const NOTES: &str = "templates/NOTES.txt";

/// Renders all templates of the chart.
///
/// # Errors
///
/// Fails if the chart requires another Kubernetes version. All other errors have the template's
/// file, line and column with an excerpt, and never show a value: broken templates, undefined
/// values (with the nearest key), text that is not YAML, documents that are not Kubernetes objects,
/// duplicate objects, and unknown hooks.
pub fn render(input: &Input) -> Result<Output> {
    render_into(input, |object| object)
}

/// Like [`render`], but converts each object with `settle` as soon as it is final, on any thread.
///
/// Trees of all objects at once would set the peak memory use of an operation.
pub fn render_into<T: Send + Sync>(
    input: &Input,
    settle: impl Fn(Object) -> T + Sync,
) -> Result<Output<T>> {
    check_kube_version(input.chart, &input.capabilities)?;
    let sources = Sources::of(input.chart);
    read(
        &sources,
        &input.release.namespace,
        &input.hashing,
        || render_templates(input, &sources),
        settle,
    )
}

/// Reads the output of a post-renderer like the output of templates. It has no notes.
pub fn reread<T: Send + Sync>(
    chart: &Chart,
    namespace: &str,
    hashing: Hashing,
    text: String,
    settle: impl Fn(Object) -> T + Sync,
) -> Result<Output<T>> {
    let sources = Sources::of(chart);
    let text = Mutex::new(text);
    let rendered = || {
        let text =
            std::mem::take(&mut *text.lock().expect("nothing panics while it holds the text"));
        Ok((
            vec![Rendered {
                template: POST_RENDERED,
                text,
                spans: Vec::new(),
            }],
            String::new(),
        ))
    };
    read(&sources, namespace, &hashing, rendered, settle)
}

/// Evaluates templates and reads their objects.
fn read<'s, T: Send + Sync>(
    sources: &'s Sources<'s>,
    namespace: &'s str,
    hashing: &'s Hashing,
    render: impl Fn() -> Result<(Vec<Rendered<'s>>, String)> + Sync,
    settle: impl Fn(Object) -> T + Sync,
) -> Result<Output<T>> {
    // Each job provides the input of the next.
    let (rendered, reader, digests) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
    let evaluate = || _ = rendered.set(render());
    let read_data = || reader.get().into_iter().for_each(Reader::read_data);
    let read_rest = || {
        if let (Some(reader), Some(digests)) = (reader.get(), digests.get()) {
            reader.read_rest(digests);
        }
    };
    Threads::with(STACK, |mut threads| {
        threads.run_on_helper(&evaluate);
        let Some(Ok((texts, _))) = rendered.get() else {
            return;
        };
        let reader = reader.get_or_init(|| Reader::of(texts, sources, namespace, hashing, &settle));
        threads.run_on_all(&read_data, reader.shares());
        digests.get_or_init(|| reader.digests());
        threads.run_on_all(&read_rest, reader.shares());
    });
    drop(digests);
    let (mut objects, mut hooks) = Default::default();
    if let Some(reader) = reader.into_inner() {
        let parsed = reader.finish()?;
        check_names(&parsed, sources, namespace)?;
        (objects, hooks) = sort_out(parsed);
    }
    let (_, notes) = rendered
        .into_inner()
        .expect("the templates were evaluated")?;
    Ok(Output {
        objects,
        hooks,
        notes,
    })
}

fn check_kube_version(chart: &Chart, capabilities: &Capabilities) -> Result<()> {
    let (Some(wanted), Some(present)) = (
        &chart.metadata.kube_version,
        parse_kube_version(&capabilities.kube_version),
    ) else {
        return Ok(());
    };
    if Range::parse(wanted)?.matches(&present) {
        return Ok(());
    }
    Err(Error::user(format!(
        "chart {} does not support Kubernetes {}",
        chart.name_version(),
        capabilities.kube_version
    ))
    .at(Place::new(format!("{}/Chart.yaml", chart.metadata.name))
        .note(format!("kubeVersion: \"{wanted}\""))))
}

/// The role of a file under `templates/`, from its name.
#[derive(Debug, PartialEq)]
enum Role {
    /// Renders to objects.
    Objects,
    Notes,
    /// Imported or included by other templates. Its name begins with `_`.
    Shared,
}

fn role(path: &str) -> Option<Role> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        _ if path == NOTES => Some(Role::Notes),
        _ if name.starts_with('_') => Some(Role::Shared),
        _ if name.ends_with(".yaml") || name.ends_with(".yml") => Some(Role::Objects),
        _ => None,
    }
}

fn render_templates<'a>(
    input: &Input<'a>,
    sources: &Sources,
) -> Result<(Vec<Rendered<'a>>, String)> {
    let chart = input.chart;
    let misses = Arc::default();
    let (mut env, root) = environment::of(input, &misses);
    let names: Vec<&str> = chart
        .files
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("templates/"))
        .collect();
    for name in &names {
        let text = checked_template(chart, name, sources)?;
        env.add_template(name, text)
            .map_err(|error| sources.report(name, &error, &misses))?;
    }
    let (mut rendered, mut notes, mut size) = (Vec::new(), String::new(), 0);
    for name in names {
        let role = role(name);
        if role == Some(Role::Shared) {
            continue;
        }
        let report = |error| sources.report(name, &error, &misses);
        let (text, spans) = env
            .get_template(name)
            .and_then(|template| template.render_with_spans(root.clone()))
            .map_err(report)?;
        size += text.len();
        if size > MAX_RENDERED {
            return Err(Error::user(format!(
                "chart {} renders to more than {} MiB",
                chart.name_version(),
                MAX_RENDERED >> 20
            ))
            .at(Place::new(sources.full_name(name)).note("the last template")));
        }
        if role == Some(Role::Notes) {
            notes = text;
        } else {
            rendered.push(Rendered {
                template: name,
                text,
                spans,
            });
        }
    }
    Ok((rendered, notes))
}

/// Returns the text of a template.
fn checked_template<'c>(chart: &'c Chart, name: &str, sources: &Sources) -> Result<&'c str> {
    let text = chart
        .text(name)
        .expect("a chart's templates are checked to be UTF-8 when it is read");
    let place = || Place::new(sources.full_name(name));
    if role(name).is_none() {
        return Err(Error::user(format!("\"{name}\" is not a template"))
            .at(place())
            .why(
                "templates of objects are named *.yaml, names of shared templates start with \
                  \"_\", and the notes are templates/NOTES.txt",
            )
            .hint("put other files of the chart into files/"));
    }
    if text.len() > MAX_TEMPLATE {
        let limit = MAX_TEMPLATE >> 10;
        return Err(
            Error::user(format!("\"{name}\" is too long for a template"))
                .at(place())
                .why(format!("the limit for a template is {limit} KiB"))
                .hint("split it, or move data to values and files/"),
        );
    }
    Ok(text)
}

/// Fails if two objects have the same identity. `namespace` is the namespace of objects that name
/// none.
fn check_names<T>(parsed: &[Parsed<T>], sources: &Sources, namespace: &str) -> Result<()> {
    let mut first = HashMap::with_capacity(parsed.len());
    for object in parsed {
        let ObjectKey {
            group,
            kind,
            namespace: own,
            name,
        } = &object.key;
        if let Some(other) = first.insert(
            (group, kind, own.as_deref().unwrap_or(namespace), name),
            object,
        ) {
            let place = |object: &Parsed<T>| documents::place(&object.source, sources);
            return Err(
                Error::user(format!("{} is rendered twice", object.key)).at_all([
                    place(other).note("first here"),
                    place(object).note("and again here"),
                ]),
            );
        }
    }
    Ok(())
}

/// Separates hooks from the objects of the release. Both keep their order.
fn sort_out<T>(parsed: Vec<Parsed<T>>) -> (Vec<T>, Vec<Hook>) {
    let (mut hooks, mut rest) = (Vec::new(), Vec::with_capacity(parsed.len()));
    for Parsed {
        key,
        stage,
        content,
        ..
    } in parsed
    {
        match content {
            HookOrObject::Hook(hook) => hooks.push(*hook),
            HookOrObject::Object(object) => rest.push((stage, key.kind, object)),
        }
    }
    install_order(&mut rest, |(stage, kind, _)| (*stage, kind));
    hook_order(&mut hooks);
    (rest.into_iter().map(|(.., object)| object).collect(), hooks)
}
