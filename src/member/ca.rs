//! A client of a Fabric CA's REST service (`lib/client.go`, `lib/identity.go` of
//! hyperledger/fabric-ca, 1.4 to 1.5): registers, enrolls and re-enrolls identities.
//!
//! An identity enrolls with its name and secret, by basic authentication. All other calls have a
//! token: the caller's certificate, and its signature over the request (`util/util.go`,
//! `GenECDSAToken`). No error or log shows a secret, a token or a key.

use crate::error::{Error, Result};
use crate::identity::Pair;
use crate::identity::request::SigningRequest;
use crate::ledger::sign::Identity;
use crate::node::{Cause, Fault, Node, Rest, Status};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// The service's path on a server without a proxy.
pub const PATH: &str = "/api/v1";

/// Characters that need no escape in a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// An authority of a Fabric CA server.
#[derive(Clone, Debug)]
pub struct Ca {
    rest: Rest,
    /// The path of the service, without a slash at its end.
    path: String,
    /// The authority, if the server has several.
    name: Option<String>,
}

/// A server's information about an authority (`api.CAInfoResponseNet`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    pub name: String,
    /// The certificates of the authority and of those above it, PEM.
    pub chain: String,
    /// Of the server.
    pub version: String,
}

/// The properties of a requested certificate (`api.EnrollmentRequestNet`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Name of a signing profile, such as `tls`; the default if empty.
    pub profile: String,
    pub hosts: Vec<String>,
    /// Attributes to include in the certificate, and whether each is optional. If empty, those that
    /// are registered for certificates.
    pub attributes: Vec<(String, bool)>,
}

/// A new identity (`api.RegistrationRequest`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    pub name: String,
    /// `client`, `peer`, `orderer` or `admin`.
    pub kind: String,
    pub affiliation: String,
    pub attributes: Vec<Attribute>,
    /// The CA's default if `None`.
    pub max_enrollments: Option<i64>,
}

/// An attribute of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub value: String,
    /// Whether certificates include it by default.
    pub in_certificates: bool,
}

#[derive(Deserialize)]
struct Answer<T> {
    result: T,
}

#[derive(Deserialize)]
struct InfoAnswer {
    #[serde(rename = "CAName", default)]
    name: String,
    #[serde(rename = "CAChain")]
    chain: String,
    #[serde(rename = "Version", default)]
    version: String,
}

#[derive(Deserialize)]
struct Enrollment {
    #[serde(rename = "Cert")]
    certificate: String,
}

#[derive(Deserialize)]
struct Registered {
    secret: String,
}

impl Ca {
    /// Returns an authority of the server at a node. `path` is the path of its URL; empty for a
    /// server without a proxy.
    pub fn new(node: Node, path: &str, name: Option<String>) -> Ca {
        let path = match path.trim_end_matches('/') {
            "" => PATH,
            path => path,
        };
        Ca {
            rest: Rest::new(node),
            path: path.to_owned(),
            name,
        }
    }

    /// The server, for messages: `ca.org1`.
    pub fn place(&self) -> &str {
        &self.rest.node().name
    }

    /// Requests the server's information about the authority, without authentication.
    pub async fn info(&self) -> Result<Info> {
        let mut path = format!("{}/cainfo", self.path);
        if let Some(name) = &self.name {
            path.push_str(&format!("?ca={}", utf8_percent_encode(name, QUERY)));
        }
        let request = request(Method::GET, &path, Bytes::new())?;
        let what = || format!("the CA server {} cannot be used", self.place());
        let answer: InfoAnswer = self.ask(request, what, no_hint).await?;
        Ok(Info {
            name: answer.name,
            chain: self.decoded(&answer.chain, "the authority's certificate")?,
            version: answer.version,
        })
    }

    /// Requests a certificate for a name, with its secret.
    pub async fn enroll(
        &self,
        user: &str,
        secret: &str,
        terms: &Terms,
        signing: SigningRequest,
    ) -> Result<Pair> {
        let body = self.signing_body(terms, &signing);
        let mut request = self.post("enroll", &body)?;
        let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")));
        authorize(&mut request, &basic)?;
        let what = || format!("the CA server {} does not enroll \"{user}\"", self.place());
        let hint = |status| {
            matches!(status, Status::Http(401 | 403)).then(|| {
                "check the name and the secret; the secret may have no enrollments left, and a CA \
                 locks an identity after several wrong secrets"
                    .to_owned()
            })
        };
        let answer: Enrollment = self.ask(request, what, hint).await?;
        signing.issued(&self.decoded(&answer.certificate, "the certificate")?)
    }

    /// Requests a new certificate for an identity, which authenticates with its current one.
    pub async fn reenroll(
        &self,
        by: &Identity,
        terms: &Terms,
        signing: SigningRequest,
    ) -> Result<Pair> {
        let body = self.signing_body(terms, &signing);
        let request = self.signed("reenroll", &body, by)?;
        let user = &by.certificate().subject;
        let what = || format!("the CA server {} does not renew \"{user}\"", self.place());
        let hint = |status| {
            matches!(status, Status::Http(401 | 403)).then(|| {
                "a CA only renews certificates that it issued and that are neither expired nor \
                 revoked; otherwise, enroll again with a secret"
                    .to_owned()
            })
        };
        let answer: Enrollment = self.ask(request, what, hint).await?;
        signing.issued(&self.decoded(&answer.certificate, "the certificate")?)
    }

    /// Registers an identity, and returns its secret. The server generates one if none is given.
    pub async fn register(
        &self,
        by: &Identity,
        registration: &Registration,
        secret: Option<&str>,
    ) -> Result<String> {
        let body = self.registration_body(registration, secret);
        let request = self.signed("register", &body, by)?;
        let (place, name) = (self.place(), &registration.name);
        let what = || format!("the CA server {place} does not register \"{name}\"");
        // `lib/serverregister.go`: 403 without a reason for everything that the registrar may not
        // do.
        let hint = |status| match status {
            Status::Http(401 | 403) => Some(REGISTRAR.to_owned()),
            Status::Http(_) => Some(REGISTERED.to_owned()),
            _ => None,
        };
        let answer: Registered = self.ask(request, what, hint).await?;
        Ok(answer.secret)
    }

    /// Creates an affiliation, including its parents. Returns false if it exists.
    pub async fn create_affiliation(&self, by: &Identity, name: &str) -> Result<bool> {
        let mut body = self.body();
        body.insert("name".to_owned(), json!(name));
        let request = self.signed("affiliations?force=true", &body, by)?;
        match self.rest.ask(request).await {
            Ok(_) => Ok(true),
            // `lib/serveraffiliations.go`, `addAffiliation`.
            Err(fault)
                if fault
                    .refusal()
                    .is_some_and(|it| it.status == Status::Http(409)) =>
            {
                Ok(false)
            }
            Err(fault) => {
                let what = format!(
                    "the CA server {} does not create affiliation \"{name}\"",
                    self.place()
                );
                Err(declined(fault, what, |status| {
                    matches!(status, Status::Http(401 | 403))
                        .then(|| "a registrar needs the attribute hf.AffiliationMgr".to_owned())
                }))
            }
        }
    }

    /// The fields of all bodies.
    fn body(&self) -> Map<String, Value> {
        let name = self.name.iter();
        name.map(|name| ("caname".to_owned(), json!(name)))
            .collect()
    }

    fn registration_body(
        &self,
        registration: &Registration,
        secret: Option<&str>,
    ) -> Map<String, Value> {
        let Registration {
            name,
            kind,
            affiliation,
            attributes,
            max_enrollments,
        } = registration;
        let attribute = |it: &Attribute| {
            let mut attribute = json!({"name": it.name, "value": it.value});
            if it.in_certificates {
                attribute["ecert"] = json!(true);
            }
            attribute
        };
        let mut body = self.body();
        body.insert("id".to_owned(), json!(name));
        body.insert("type".to_owned(), json!(kind));
        body.insert("affiliation".to_owned(), json!(affiliation));
        if let Some(secret) = secret {
            body.insert("secret".to_owned(), json!(secret));
        }
        if let Some(most) = max_enrollments {
            body.insert("max_enrollments".to_owned(), json!(most));
        }
        if !attributes.is_empty() {
            body.insert(
                "attrs".to_owned(),
                attributes.iter().map(attribute).collect(),
            );
        }
        body
    }

    fn signing_body(&self, terms: &Terms, signing: &SigningRequest) -> Map<String, Value> {
        let mut body = self.body();
        body.insert("hosts".to_owned(), json!(terms.hosts));
        body.insert("certificate_request".to_owned(), json!(signing.pem));
        body.insert("profile".to_owned(), json!(terms.profile));
        body.insert("label".to_owned(), json!(""));
        if !terms.attributes.is_empty() {
            let attributes = terms.attributes.iter();
            let each =
                attributes.map(|(name, optional)| json!({"name": name, "optional": optional}));
            body.insert("attr_reqs".to_owned(), each.collect());
        }
        body
    }

    fn post(&self, endpoint: &str, body: &Map<String, Value>) -> Result<Request<Bytes>> {
        let body = serde_json::to_vec(body).map_err(|error| Error::internal(error.to_string()))?;
        request(
            Method::POST,
            &format!("{}/{endpoint}", self.path),
            body.into(),
        )
    }

    /// A request with a token.
    fn signed(
        &self,
        endpoint: &str,
        body: &Map<String, Value>,
        by: &Identity,
    ) -> Result<Request<Bytes>> {
        let mut request = self.post(endpoint, body)?;
        let uri = request.uri().to_string();
        let token = token(by, request.method(), &uri, request.body())?;
        authorize(&mut request, &token)?;
        Ok(request)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: Request<Bytes>,
        what: impl FnOnce() -> String,
        hint: impl FnOnce(Status) -> Option<String>,
    ) -> Result<T> {
        let answer: Result<Answer<T>, Fault> = self.rest.json(request).await;
        answer
            .map(|answer| answer.result)
            .map_err(|fault| declined(fault, what(), hint))
    }

    fn decoded(&self, text: &str, what: &str) -> Result<String> {
        let bytes = STANDARD.decode(text).ok();
        let pem = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        pem.ok_or_else(|| {
            Error::cluster(format!(
                "cannot read the response of the CA server {}",
                self.place()
            ))
            .why(format!("{what} is not PEM in base64"))
        })
    }
}

fn no_hint(_: Status) -> Option<String> {
    None
}

const REGISTRAR: &str = "a registrar needs the attributes hf.Registrar.Roles and \
     hf.Registrar.Attributes for the role and attributes that it registers, and an affiliation at \
     or above that of the user; the affiliation must exist (--create-affiliation)";
const REGISTERED: &str =
    "if the identity is already registered, enroll it with --secret FILE and without --register";

/// Returns the error for a failed call. The caller provides hints for refusals.
fn declined(fault: Fault, what: String, hint: impl FnOnce(Status) -> Option<String>) -> Error {
    let hint = match &fault.cause {
        Cause::Refused(refusal) => hint(refusal.status),
        // The server's certificate is not trusted.
        Cause::Connection(broken) if broken.lasting => {
            Some("pass the authority of its TLS certificate with --tls-root FILE".to_owned())
        }
        _ => None,
    };
    let error = Error::from(fault).context(what);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Returns the token of a request (`GenECDSAToken`): the certificate, and a signature over method,
/// URI, body and certificate, each in base64.
fn token(by: &Identity, method: &Method, uri: &str, body: &[u8]) -> Result<String> {
    let certificate = STANDARD.encode(by.certificate().to_pem());
    let (uri, body) = (STANDARD.encode(uri), STANDARD.encode(body));
    let signed = format!("{method}.{uri}.{body}.{certificate}");
    let signature = by.sign(signed.as_bytes())?;
    Ok(format!("{certificate}.{}", STANDARD.encode(signature)))
}

fn request(method: Method, path: &str, body: Bytes) -> Result<Request<Bytes>> {
    let wrong = |_| Error::user(format!("\"{path}\" is not the path of a CA server"));
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(wrong)?;
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(request)
}

fn authorize(request: &mut Request<Bytes>, value: &str) -> Result<()> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Error::internal("cannot create a header in base64"))?;
    value.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(())
}

#[cfg(test)]
mod tests;
