//! `identity enroll`.

use super::authority::{AuthorityArguments, Reached};
use super::installed;
use super::target::{Secrets, TargetArguments};
use super::terms::{CertificateArguments, RegistrationArguments};
use crate::cluster::Cluster;
use crate::commands::{Edge, complete, load};
use crate::error::{Error, Result};
use crate::fabric::contact::Identities;
use crate::identity::certificate::Certificate;
use crate::identity::inventory::Kind;
use crate::identity::public::{self, MspFiles};
use crate::identity::request::SigningRequest;
use crate::identity::secrets::entry;
use crate::identity::{Pair, enrolled};
use crate::ledger::sign::Identity;
use crate::member::Installed;
use crate::member::ca::{Info, Terms};
use crate::terminal::time;
use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

/// Enroll a user with the organization's Fabric CA, and write the identity to a folder or a Secret
///
/// Calls the CA server of the organization through the API server, or the one of --url. The private
/// key is generated on this machine, and leaves it only with --to-secret. With --register, the
/// administrator of the CA server registers the user first.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  kubectl fabric identity enroll org1 alice --register --to alice
  kubectl fabric identity enroll org1 alice --register --attribute role=buyer:ecert --to-secret
  kubectl fabric identity enroll org1 bob --secret bob.txt --to bob      registered elsewhere
  kubectl fabric identity enroll org1 bob --renew --identity bob --to bob --overwrite
  kubectl fabric identity enroll org1 bob --renew --identity bob --profile tls --to bob")]
pub struct Arguments {
    /// Name of the organization's release
    #[arg(value_name = "RELEASE", add = ArgValueCompleter::new(complete::releases))]
    pub release: String,

    /// Name of the user
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::nothing))]
    pub name: String,

    /// File with the user's enrollment secret; - reads standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub secret: Option<String>,

    /// Renew the identity in --identity, or in the user's Secret, instead of using a secret
    #[arg(long, conflicts_with_all = ["secret", "register"])]
    pub renew: bool,

    /// Folder of the identity to renew [default: the user's Secret]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, requires = "renew")]
    pub identity: Option<PathBuf>,

    #[command(flatten)]
    pub target: TargetArguments,

    #[command(flatten)]
    pub registration: RegistrationArguments,

    #[command(flatten)]
    pub certificate: CertificateArguments,

    #[command(flatten)]
    pub authority: AuthorityArguments,
}

/// A certificate with its key, and its source.
struct Done {
    pair: Pair,
    place: String,
    version: String,
    written: String,
    warnings: Vec<String>,
}

pub fn run(arguments: Arguments, edge: &Edge) -> Result<ExitCode> {
    arguments.target.check_name(&arguments.name)?;
    let secret = arguments.secret.as_deref().map(load::secret).transpose()?;
    if secret.is_none() && !arguments.registration.register && !arguments.renew {
        return Err(Error::user(format!(
            "no secret is given to enroll \"{}\"",
            arguments.name
        ))
        .now("nothing was sent")
        .hint(
            "pass the secret with --secret FILE, register the user with --register, or renew \
                   its identity with --renew",
        ));
    }
    let end = Error::interrupted("interrupted").now(format!(
        "no identity was written; \"{}\" may be registered at the CA",
        arguments.name
    ));
    let done = edge.change(end, async |cluster| {
        enroll(&arguments, edge, cluster, secret.as_deref()).await
    })?;
    for warning in &done.warnings {
        edge.terminal.warn(warning);
    }
    let certificate = Certificate::from_pem(done.pair.certificate.as_bytes(), "the certificate")?;
    let did = if arguments.renew {
        "renewed"
    } else {
        "enrolled"
    };
    edge.terminal.print(format!(
        "{did} {} at {} (Fabric CA {}): valid until {}\nwrote {}\n",
        arguments.name,
        done.place,
        done.version,
        time::utc(certificate.not_after),
        done.written
    ))?;
    Ok(ExitCode::SUCCESS)
}

async fn enroll(
    arguments: &Arguments,
    edge: &Edge,
    cluster: &Cluster,
    secret: Option<&str>,
) -> Result<Done> {
    let installed = installed(edge, cluster, &arguments.release).await?;
    let Identities::Secrets { nodes, .. } = &installed.contact.identities else {
        return Err(installed.unreadable());
    };
    let first = nodes.first().map(|pair| pair.msp.clone());
    let mut names: Vec<String> = first.clone().into_iter().collect();
    if arguments.target.to_secret || arguments.identity.is_none() && arguments.renew {
        names.extend(enrolled::secret_names(&arguments.name));
    }
    let secrets = installed.secrets_named(cluster, &names).await?;
    let node = first.as_ref().and_then(|name| secrets.get(name));
    let node = node.ok_or_else(|| {
        Error::user(format!("no node of \"{}\" has an MSP", arguments.release))
            .hint("`kubectl fabric identity list` shows all identities")
    })?;
    let (name, kind) = (&arguments.name, arguments.certificate.kind());
    let target = &arguments.target;
    target
        .check(name, kind, arguments.renew, &installed, &secrets)
        .map_err(unsent)?;
    let msp = public::of_secret(node, &installed.organization.domain);
    let reached = arguments
        .authority
        .reach(cluster, &installed.contact)
        .await?;
    let info = reached.ca.info().await.map_err(unsent)?;
    let mut warnings = reached.warnings.clone();
    let place = reached.ca.place();
    warnings.extend(check_authority(kind, &installed, &msp, &info, place)?);
    let pair = certify(arguments, cluster, &installed, &reached, &secrets, secret).await?;
    let made = match kind {
        Kind::Tls => enrolled::tls_secret(&installed.organization, name, &pair, &info.chain),
        Kind::Msp | Kind::Authority => {
            enrolled::msp_secret(&installed.organization, name, node, &pair)
        }
    };
    let written = target.write(name, kind, cluster, &installed, made?, &secrets);
    let written = written.await;
    Ok(Done {
        pair,
        place: place.to_owned(),
        version: info.version,
        written: written.map_err(|error| {
            error.why(format!(
                "\"{}\" is enrolled, and its certificate is lost",
                arguments.name
            ))
        })?,
        warnings,
    })
}

/// Refuses a CA whose identities the organization's nodes do not accept. For TLS, returns a
/// warning: a certificate may be for other servers.
fn check_authority(
    kind: Kind,
    installed: &Installed,
    msp: &MspFiles,
    info: &Info,
    place: &str,
) -> Result<Option<String>> {
    let organization = &installed.organization;
    match kind {
        Kind::Tls if enrolled::issues_tls(msp, &info.chain) => Ok(None),
        Kind::Tls => Ok(Some(format!(
            "the nodes of \"{}\" trust another TLS authority: they do not accept this certificate",
            organization.release
        ))),
        Kind::Msp | Kind::Authority => {
            enrolled::check_authority(organization, msp, &info.chain, place).map(|()| None)
        }
    }
}

fn unsent(error: Error) -> Error {
    error.now("nothing was registered or enrolled")
}

/// Registers if requested, and gets the certificate.
async fn certify(
    arguments: &Arguments,
    cluster: &Cluster,
    installed: &Installed,
    reached: &Reached,
    secrets: &Secrets,
    secret: Option<&str>,
) -> Result<Pair> {
    let (name, terms) = (&arguments.name, arguments.certificate.terms());
    if arguments.renew {
        let [own, _] = enrolled::secret_names(name);
        let (identity, key) = present(arguments, installed, secrets.get(&own))?;
        let user = identity.certificate().subject.clone();
        let key = arguments.certificate.reuse_key.then_some(key.as_str());
        let request = SigningRequest::new(&user, &terms.hosts, key)?;
        let renewed = reached.ca.reenroll(&identity, &terms, request).await;
        return renewed.map_err(|error| error.now("the identity is unchanged"));
    }
    let registered;
    let secret = match arguments.registration.register {
        false => secret.unwrap_or_default(),
        true => {
            let by = registrar(arguments, cluster, installed, reached)
                .await
                .map_err(unsent)?;
            let wanted = arguments.registration.registration(name);
            if arguments.registration.create_affiliation {
                let created = reached
                    .ca
                    .create_affiliation(&by, &wanted.affiliation)
                    .await;
                created.map_err(unsent)?;
            }
            let answer = reached.ca.register(&by, &wanted, secret).await;
            registered = answer.map_err(unsent)?;
            registered.as_str()
        }
    };
    let request = SigningRequest::new(name, &terms.hosts, None)?;
    let enrolled = reached.ca.enroll(name, secret, &terms, request).await;
    enrolled.map_err(|error| match arguments.registration.register {
        true => error.now(format!(
            "\"{name}\" is registered at the CA, and not enrolled"
        )),
        false => unsent(error),
    })
}

/// Returns the identity to renew, and its key.
fn present(
    arguments: &Arguments,
    installed: &Installed,
    secret: Option<&Value>,
) -> Result<(Identity, String)> {
    let (certificate, key) = match (&arguments.identity, secret) {
        (Some(folder), _) => load::identity(folder)?.signing_files()?,
        (None, Some(secret)) => {
            let of = |name| entry(secret, name).unwrap_or_default();
            (of("cert.pem"), of("key.pem"))
        }
        (None, None) => {
            return Err(unsent(
                Error::user(format!(
                    "no identity of \"{}\" to renew was found",
                    arguments.name
                ))
                .hint("pass its folder: --identity FOLDER"),
            ));
        }
    };
    let subject = format!("\"{}\"", arguments.name);
    let msp_id = &installed.contact.msp_id;
    let identity = Identity::from_pem(msp_id, &certificate, &key, &subject).map_err(unsent)?;
    Ok((identity, String::from_utf8_lossy(&key).into_owned()))
}

/// Returns the registrar: from a folder, or the CA server's administrator, which is enrolled for
/// this purpose. Its key stays in memory.
async fn registrar(
    arguments: &Arguments,
    cluster: &Cluster,
    installed: &Installed,
    reached: &Reached,
) -> Result<Identity> {
    let msp_id = &installed.contact.msp_id;
    if let Some(folder) = &arguments.registration.registrar {
        let (certificate, key) = load::identity(folder)?.signing_files()?;
        return Identity::from_pem(msp_id, &certificate, &key, "the registrar");
    }
    let (user, password) = reached.administrator(cluster, installed).await?;
    let request = SigningRequest::new(&user, &[], None)?;
    let terms = Terms::default();
    let pair = reached.ca.enroll(&user, &password, &terms, request).await?;
    let (certificate, key) = (pair.certificate.as_bytes(), pair.key.as_bytes());
    Identity::from_pem(msp_id, certificate, key, "the registrar")
}
