//! Packages of the lifecycle of Fabric 1.4: source that peers build by Docker, the same bytes from
//! the same files (`core/chaincode/platforms/*/platform.go`).

use super::chaincode_package::{check_path, gzip, tar};
use super::message::chaincode::{
    ChaincodeDeploymentSpec, ChaincodeId, ChaincodeInput, ChaincodeSpec, ChaincodeType,
};
use crate::error::{Error, Result};
use prost::Message;
use std::collections::BTreeMap;

/// The source of a chaincode.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// `golang`, `node` or `java`.
    pub language: &'a str,
    /// Files by their path in the chaincode's folder.
    pub files: &'a BTreeMap<String, Vec<u8>>,
    /// Indexes for CouchDB, by their path in the package.
    pub indexes: &'a BTreeMap<String, Vec<u8>>,
}

/// A chaincode of 1.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    pub name: String,
    pub version: String,
    /// The encoded `ChaincodeDeploymentSpec` that peers install.
    pub bytes: Vec<u8>,
    spec: ChaincodeSpec,
}

impl Deployment {
    /// Packs a chaincode.
    ///
    /// # Errors
    ///
    /// A folder without files that peers could build.
    pub fn new(name: &str, version: &str, source: Source<'_>) -> Result<Deployment> {
        let (path, code_package) = code(name, source)?;
        let spec = ChaincodeSpec {
            r#type: kind(source.language).into(),
            chaincode_id: Some(ChaincodeId {
                path,
                name: name.to_owned(),
                version: version.to_owned(),
            }),
            input: Some(ChaincodeInput::default()),
            timeout: 0,
        };
        let message = ChaincodeDeploymentSpec {
            chaincode_spec: Some(spec.clone()),
            code_package,
        };
        Ok(Deployment {
            name: name.to_owned(),
            version: version.to_owned(),
            bytes: message.encode_to_vec(),
            spec,
        })
    }

    /// By which peers know it: `mycc:1.0`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.name, self.version)
    }

    /// What instantiates it with a call of its `Init`: the specification without the code.
    pub fn instantiation(&self, init: &[String]) -> Vec<u8> {
        let args = init.iter().map(|word| word.clone().into_bytes()).collect();
        let input = ChaincodeInput {
            args,
            ..ChaincodeInput::default()
        };
        let message = ChaincodeDeploymentSpec {
            chaincode_spec: Some(ChaincodeSpec {
                input: Some(input),
                ..self.spec.clone()
            }),
            code_package: Vec::new(),
        };
        message.encode_to_vec()
    }
}

fn kind(language: &str) -> ChaincodeType {
    match language {
        "node" => ChaincodeType::Node,
        "java" => ChaincodeType::Java,
        _ => ChaincodeType::Golang,
    }
}

/// The path of the source, and the `tar.gz` with it: below `src`, and for Go below its import path.
pub fn code(name: &str, source: Source<'_>) -> Result<(String, Vec<u8>)> {
    let Source {
        language,
        files,
        indexes,
    } = source;
    let suffix = match language {
        "node" => "package.json",
        "java" => "",
        _ => ".go",
    };
    if !files.keys().any(|path| path.ends_with(suffix)) {
        let what = match suffix {
            "" => "it is empty",
            "package.json" => "it has no package.json",
            _ => "it has no .go files",
        };
        return Err(Error::user(format!(
            "the source of chaincode \"{name}\" cannot be built as {language}"
        ))
        .why(what));
    }
    let import_path = match language {
        "golang" => module(files).unwrap_or_else(|| name.to_owned()),
        _ => String::new(),
    };
    let folder = match import_path.as_str() {
        "" => "src".to_owned(),
        path => format!("src/{path}"),
    };
    let mut packed: BTreeMap<String, &[u8]> = BTreeMap::new();
    for (path, content) in files {
        check_path(path)?;
        packed.insert(format!("{folder}/{path}"), content);
    }
    for (path, content) in indexes {
        check_path(path)?;
        packed.insert(path.clone(), content);
    }
    let packed: Vec<(&str, &[u8])> = packed.iter().map(|(k, v)| (k.as_str(), *v)).collect();
    let path = match import_path.is_empty() {
        true => name.to_owned(),
        false => import_path,
    };
    Ok((path, gzip(&tar(&packed)?)))
}

/// The module that `go.mod` names.
fn module(files: &BTreeMap<String, Vec<u8>>) -> Option<String> {
    let text = std::str::from_utf8(files.get("go.mod")?).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("module "))?;
    let path = line.split("//").next()?.trim().trim_matches('"');
    (!path.is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::message::decode;
    use std::io::Read;

    fn files(named: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let each = named.iter();
        each.map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect()
    }

    /// Paths and modes of a `tar.gz`.
    fn listed(bytes: &[u8]) -> Vec<(String, u32)> {
        let mut content = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(bytes);
        decoder.read_to_end(&mut content).unwrap();
        let mut archive = ::tar::Archive::new(&content[..]);
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries
            .map(|it| {
                let path = it.path().unwrap().display().to_string();
                (path, it.header().mode().unwrap())
            })
            .collect()
    }

    #[test]
    fn a_chaincode_of_1_4_is_its_source_below_its_import_path() {
        let indexes = files(&[("META-INF/statedb/couchdb/indexes/owner.json", "{}")]);
        for (text, path) in [
            (None, "mycc"),
            (
                Some("// a\nmodule example.com/mycc // x\n"),
                "example.com/mycc // x",
            ),
        ] {
            let mut source = files(&[("main.go", "package main"), ("lib/a.go", "package lib")]);
            source.extend(text.map(|text| ("go.mod".to_owned(), text.as_bytes().to_vec())));
            let source = Source {
                language: "golang",
                files: &source,
                indexes: &indexes,
            };
            let path = path.split(" //").next().unwrap();
            let deployment = Deployment::new("mycc", "1.0", source).unwrap();
            assert_eq!(deployment.id(), "mycc:1.0");
            assert_eq!(deployment, Deployment::new("mycc", "1.0", source).unwrap());
            let message: ChaincodeDeploymentSpec = decode(&deployment.bytes, "it").unwrap();
            let id = message.chaincode_spec.unwrap().chaincode_id.unwrap();
            assert_eq!(id.path, path);
            let listed = listed(&message.code_package);
            assert!(listed.contains(&(format!("src/{path}/lib/a.go"), 0o100_644)));
            assert!(listed.iter().any(|(path, _)| path.starts_with("META-INF/")));
        }
    }

    #[test]
    fn an_instantiation_has_the_arguments_of_init_and_no_code() {
        let source = files(&[("package.json", "{}"), ("index.js", "")]);
        let none = BTreeMap::new();
        let source = Source {
            language: "node",
            files: &source,
            indexes: &none,
        };
        let deployment = Deployment::new("mycc", "2", source).unwrap();
        let init = ["init".to_owned(), "a".to_owned()];
        let message: ChaincodeDeploymentSpec =
            decode(&deployment.instantiation(&init), "it").unwrap();
        assert!(message.code_package.is_empty());
        let spec = message.chaincode_spec.unwrap();
        assert_eq!(spec.r#type(), ChaincodeType::Node);
        assert_eq!(spec.input.unwrap().args, [b"init".to_vec(), b"a".to_vec()]);
    }

    #[test]
    fn source_in_another_language_is_refused() {
        let none = BTreeMap::new();
        let source = files(&[("index.js", "")]);
        for (language, why) in [("golang", "no .go files"), ("node", "no package.json")] {
            let source = Source {
                language,
                files: &source,
                indexes: &none,
            };
            let error = Deployment::new("mycc", "1.0", source).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
