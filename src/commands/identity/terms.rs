//! The arguments for the registration and the certificate.

use crate::identity::inventory::Kind;
use crate::member::ca::{Attribute, Registration, Terms};
use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;

/// The heading of the flags for the registration.
const REGISTRATION: &str = "Registration";
/// The heading of the flags for the certificate.
const CERTIFICATE: &str = "Certificate";

#[derive(Args, Debug)]
#[command(next_help_heading = REGISTRATION)]
pub struct RegistrationArguments {
    /// Register the user first
    #[arg(long)]
    pub register: bool,

    /// Folder of the registrar's identity [default: the administrator in the CA server's Secret]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, requires = "register")]
    pub registrar: Option<PathBuf>,

    /// Type of the user, which determines its role
    #[arg(
        long = "type",
        value_name = "TYPE",
        default_value = "client",
        requires = "register"
    )]
    pub kind: Type,

    /// Affiliation, as org1.department1 [default: the registrar's]
    #[arg(long, value_name = "AFFILIATION", requires = "register")]
    pub affiliation: Option<String>,

    /// Create the affiliation if it does not exist
    #[arg(long, requires = "affiliation")]
    pub create_affiliation: bool,

    /// Attribute, as name=value; with :ecert, it is added to certificates; may be repeated
    #[arg(long, value_name = "NAME=VALUE[:ecert]", value_parser = attribute, requires = "register")]
    pub attribute: Vec<Attribute>,

    /// Maximum number of enrollments with the secret; -1 means no limit [default: the CA's]
    #[arg(
        long,
        value_name = "N",
        requires = "register",
        allow_negative_numbers = true
    )]
    pub max_enrollments: Option<i64>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = CERTIFICATE)]
pub struct CertificateArguments {
    /// Signing profile of the CA; tls is for TLS certificates [default: the CA's]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,

    /// Host names and IP addresses in the certificate
    #[arg(long, value_name = "HOST,...", value_delimiter = ',')]
    pub host: Vec<String>,

    /// Attribute to request in the certificate; with :opt, it is optional
    #[arg(long, value_name = "NAME[:opt]", value_delimiter = ',')]
    pub request_attribute: Vec<String>,

    /// Reuse the private key instead of generating a new one
    #[arg(long, requires = "renew")]
    pub reuse_key: bool,
}

/// The types of identities that have a role (`config.yaml` of an MSP).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Type {
    /// An application
    Client,
    /// An administrator of the organization
    Admin,
    /// A peer
    Peer,
    /// An orderer
    Orderer,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Type::Client => "client",
            Type::Admin => "admin",
            Type::Peer => "peer",
            Type::Orderer => "orderer",
        }
    }
}

fn attribute(text: &str) -> Result<Attribute, String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("expected NAME=VALUE or NAME=VALUE:ecert")?;
    let bare = value.strip_suffix(":ecert");
    Ok(Attribute {
        name: name.to_owned(),
        value: bare.unwrap_or(value).to_owned(),
        in_certificates: bare.is_some(),
    })
}

impl RegistrationArguments {
    /// The registration of a user.
    pub fn registration(&self, name: &str) -> Registration {
        Registration {
            name: name.to_owned(),
            kind: self.kind.name().to_owned(),
            affiliation: self.affiliation.clone().unwrap_or_default(),
            attributes: self.attribute.clone(),
            max_enrollments: self.max_enrollments,
        }
    }
}

impl CertificateArguments {
    pub fn terms(&self) -> Terms {
        let attribute = |text: &String| match text.strip_suffix(":opt") {
            Some(name) => (name.to_owned(), true),
            None => (text.clone(), false),
        };
        Terms {
            profile: self.profile.clone().unwrap_or_default(),
            hosts: self.host.clone(),
            attributes: self.request_attribute.iter().map(attribute).collect(),
        }
    }

    /// Whether the certificate is for TLS or for signing.
    pub fn kind(&self) -> Kind {
        match self.profile.as_deref() {
            Some("tls") => Kind::Tls,
            _ => Kind::Msp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_written_as_fabric_ca_client_has_them() {
        for (text, value, in_certificates) in [
            ("role=buyer", "buyer", false),
            ("role=buyer:ecert", "buyer", true),
            ("url=http://a:1", "http://a:1", false),
            ("empty=", "", false),
        ] {
            let found = attribute(text).unwrap();
            assert_eq!(
                (found.value.as_str(), found.in_certificates),
                (value, in_certificates)
            );
        }
        for text in ["role", "=x"] {
            assert!(
                attribute(text).unwrap_err().contains("NAME=VALUE"),
                "{text}"
            );
        }
    }
}
