//! Calls to a server with the checks of a Fabric CA: secrets, certificate requests and tokens
//! (`lib/serverrequestcontext.go`, `lib/serverenroll.go`, `lib/serverregister.go`).

use super::*;
use crate::identity::certificate::{Certificate, read_key};
use crate::ledger::sign::verify;
use crate::node::tests::served::{Authority, NAME, Server};
use http::Response;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The state of a Fabric CA.
struct FabricCa {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
    secrets: BTreeMap<String, String>,
    affiliations: Vec<String>,
    /// The bodies of executed requests, by endpoint.
    done: Vec<(String, Value)>,
}

type Declined = (u16, u32, &'static str);

impl FabricCa {
    fn new() -> FabricCa {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "ca.org1");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        FabricCa {
            certificate: Certificate::from_pem(pem.as_bytes(), "the CA").unwrap(),
            issuer: Issuer::new(params, key),
            secrets: [("admin".to_owned(), "admin secret".to_owned())].into(),
            affiliations: vec!["org1".to_owned()],
            done: Vec::new(),
        }
    }

    fn answer(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let (status, body) = match self.serve(request) {
            Ok((status, result)) => (
                status,
                json!({"result": result, "errors": [], "success": true}),
            ),
            Err((status, code, message)) => {
                let errors = json!([{"code": code, "message": message}]);
                (
                    status,
                    json!({"result": "", "errors": errors, "success": false}),
                )
            }
        };
        let body = Bytes::from(body.to_string());
        Response::builder().status(status).body(body).unwrap()
    }

    fn serve(&mut self, request: &Request<Bytes>) -> Result<(u16, Value), Declined> {
        let endpoint = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let of_ca = body["caname"]
            .as_str()
            .or(request.uri().query().map(|it| &it[3..]));
        if endpoint != "affiliations" && of_ca.is_some_and(|name| name != "ca.org1") {
            return Err((404, 19, "CA does not exist"));
        }
        let chain = STANDARD.encode(self.certificate.to_pem());
        let info = json!({"CAName": "ca.org1", "CAChain": chain, "Version": "1.5.15"});
        let result = match endpoint.as_str() {
            "cainfo" => return Ok((200, info)),
            "enroll" => {
                let user = self.user(request)?;
                json!({"Cert": self.sign(&user, &body)?, "ServerInfo": info})
            }
            "reenroll" => {
                let user = self.caller(request)?;
                json!({"Cert": self.sign(&user, &body)?, "ServerInfo": info})
            }
            "register" => {
                if self.caller(request)? != "admin" {
                    return Err((403, 71, "Authorization failure"));
                }
                let affiliation = body["affiliation"].as_str().unwrap().to_owned();
                if !affiliation.is_empty() && !self.affiliations.contains(&affiliation) {
                    return Err((403, 71, "Authorization failure"));
                }
                let name = body["id"].as_str().unwrap().to_owned();
                if self.secrets.contains_key(&name) {
                    return Err((
                        500,
                        0,
                        "Registration failed: Identity is already registered",
                    ));
                }
                let secret = body["secret"]
                    .as_str()
                    .unwrap_or("made by the CA")
                    .to_owned();
                self.secrets.insert(name, secret.clone());
                json!({"secret": secret})
            }
            "affiliations" => {
                self.caller(request)?;
                assert_eq!(request.uri().query(), Some("force=true"));
                let name = body["name"].as_str().unwrap().to_owned();
                if self.affiliations.contains(&name) {
                    return Err((409, 62, "Affiliation already exists"));
                }
                self.affiliations.push(name.clone());
                json!({"name": name})
            }
            _ => return Err((404, 0, "no such endpoint")),
        };
        self.done.push((endpoint, body));
        Ok((201, result))
    }

    /// Basic authentication.
    fn user(&self, request: &Request<Bytes>) -> Result<String, Declined> {
        let failure = (401, 20, "Authentication failure");
        let header = request.headers().get("authorization").ok_or(failure)?;
        let basic = header
            .to_str()
            .unwrap()
            .strip_prefix("Basic ")
            .ok_or(failure)?;
        let text = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
        let (user, secret) = text.split_once(':').unwrap();
        match self.secrets.get(user).is_some_and(|known| known == secret) {
            true => Ok(user.to_owned()),
            false => Err(failure),
        }
    }

    /// Authentication by token (`util.VerifyToken`).
    fn caller(&self, request: &Request<Bytes>) -> Result<String, Declined> {
        let failure = (401, 20, "Authentication failure");
        let token = request.headers().get("authorization").ok_or(failure)?;
        let (encoded, signature) = token.to_str().unwrap().split_once('.').ok_or(failure)?;
        let pem = STANDARD.decode(encoded).map_err(|_| failure)?;
        let certificate = Certificate::from_pem(&pem, "the caller").map_err(|_| failure)?;
        let signed = format!(
            "{}.{}.{}.{encoded}",
            request.method(),
            STANDARD.encode(request.uri().path_and_query().unwrap().as_str()),
            STANDARD.encode(request.body()),
        );
        let signature = STANDARD.decode(signature).map_err(|_| failure)?;
        verify(&certificate, signed.as_bytes(), &signature).map_err(|_| failure)?;
        match certificate.is_signed_by(&self.certificate) {
            true => Ok(certificate.subject),
            false => Err(failure),
        }
    }

    /// The request must be for the user, and signed with its own key.
    fn sign(&self, user: &str, body: &Value) -> Result<String, Declined> {
        let pem = body["certificate_request"].as_str().unwrap();
        let mut request = CertificateSigningRequestParams::from_pem(pem).unwrap();
        let names = &mut request.params.distinguished_name;
        let common_name = format!("{:?}", names.get(&DnType::CommonName).unwrap());
        if !common_name.contains(&format!("\"{user}\"")) {
            return Err((
                403,
                3,
                "The CSR subject common name must equal the enrollment ID",
            ));
        }
        names.push(DnType::OrganizationalUnitName, "client");
        let certificate = request.signed_by(&self.issuer).unwrap();
        Ok(STANDARD.encode(certificate.pem()))
    }
}

struct World {
    state: Arc<Mutex<FabricCa>>,
    server: Server,
    tls: Authority,
}

impl World {
    async fn new() -> World {
        let state = Arc::new(Mutex::new(FabricCa::new()));
        let (tls, serving) = (Authority::new(), Arc::clone(&state));
        let terms = tls.open_server();
        let answer = move |request: &Request<Bytes>| serving.lock().unwrap().answer(request);
        World {
            server: Server::rest(Some(terms), answer).await,
            state,
            tls,
        }
    }

    fn ca(&self, path: &str, name: Option<&str>) -> Ca {
        let node = self.server.node(self.tls.stranger());
        Ca::new(node, path, name.map(str::to_owned))
    }

    fn done(&self) -> Vec<(String, Value)> {
        self.state.lock().unwrap().done.clone()
    }
}

async fn enroll(ca: &Ca, user: &str, secret: &str, terms: &Terms) -> Result<Identity> {
    let request = SigningRequest::new(user, &terms.hosts, None)?;
    let pair = ca.enroll(user, secret, terms, request).await?;
    let (certificate, key) = (pair.certificate.as_bytes(), pair.key.as_bytes());
    Identity::from_pem("Org1MSP", certificate, key, user)
}

fn alice() -> Registration {
    Registration {
        name: "alice".to_owned(),
        kind: "client".to_owned(),
        affiliation: "org1.sales".to_owned(),
        attributes: vec![Attribute {
            name: "role".to_owned(),
            value: "buyer".to_owned(),
            in_certificates: true,
        }],
        max_enrollments: Some(-1),
    }
}

#[tokio::test]
async fn a_user_is_registered_enrolled_and_renewed() {
    let world = World::new().await;
    let ca = world.ca("", Some("ca.org1"));
    let info = ca.info().await.unwrap();
    assert_eq!(
        (info.name.as_str(), info.version.as_str()),
        ("ca.org1", "1.5.15")
    );
    let authority = Certificate::from_pem(info.chain.as_bytes(), "it").unwrap();
    let admin = enroll(&ca, "admin", "admin secret", &Terms::default())
        .await
        .unwrap();
    assert!(ca.create_affiliation(&admin, "org1.sales").await.unwrap());
    assert!(!ca.create_affiliation(&admin, "org1.sales").await.unwrap());
    let secret = ca.register(&admin, &alice(), None).await.unwrap();
    assert_eq!(secret, "made by the CA");
    let terms = Terms {
        profile: "tls".to_owned(),
        hosts: vec!["alice.example.com".to_owned(), "10.0.0.1".to_owned()],
        attributes: vec![("role".to_owned(), false), ("mail".to_owned(), true)],
    };
    let user = enroll(&ca, "alice", &secret, &terms).await.unwrap();
    assert!(user.certificate().is_signed_by(&authority));
    assert_eq!(user.certificate().organizational_units(), ["client"]);
    assert_eq!(user.certificate().hosts, terms.hosts);
    let request = SigningRequest::new("alice", &[], None).unwrap();
    let renewed = ca
        .reenroll(&user, &Terms::default(), request)
        .await
        .unwrap();
    let renewed = Certificate::from_pem(renewed.certificate.as_bytes(), "it").unwrap();
    assert_ne!(
        renewed.key_fingerprint(),
        user.certificate().key_fingerprint()
    );

    let done = world.done();
    let endpoints: Vec<&str> = done.iter().map(|(endpoint, _)| endpoint.as_str()).collect();
    let expected = ["enroll", "affiliations", "register", "enroll", "reenroll"];
    assert_eq!(endpoints, expected);
    assert_eq!(
        done[2].1,
        json!({
            "caname": "ca.org1",
            "id": "alice",
            "type": "client",
            "affiliation": "org1.sales",
            "max_enrollments": -1,
            "attrs": [{"name": "role", "value": "buyer", "ecert": true}],
        })
    );
    assert_eq!(
        (&done[3].1["profile"], &done[3].1["hosts"]),
        (&json!("tls"), &json!(terms.hosts))
    );
    assert_eq!(
        done[3].1["attr_reqs"],
        json!([{"name": "role", "optional": false}, {"name": "mail", "optional": true}])
    );
    assert_eq!(world.server.connections(), 1);
}

#[tokio::test]
async fn a_key_may_be_kept() {
    let world = World::new().await;
    let ca = world.ca("", None);
    let request = SigningRequest::new("admin", &[], None).unwrap();
    let terms = Terms::default();
    let first = ca
        .enroll("admin", "admin secret", &terms, request)
        .await
        .unwrap();
    let (certificate, key) = (first.certificate.as_bytes(), first.key.as_bytes());
    let identity = Identity::from_pem("Org1MSP", certificate, key, "admin").unwrap();
    let request = SigningRequest::new("admin", &[], Some(&first.key)).unwrap();
    let second = ca.reenroll(&identity, &terms, request).await.unwrap();
    assert!(second.key == first.key && second.certificate != first.certificate);
    assert!(read_key(second.key.as_bytes()).is_ok());
}

#[tokio::test]
async fn the_path_of_a_url_is_before_every_endpoint() {
    let world = World::new().await;
    for (path, expected) in [("/", "/api/v1/"), ("/org1/ca/", "/org1/ca/"), ("/a", "/a/")] {
        let ca = world.ca(path, None);
        let admin = enroll(&ca, "admin", "admin secret", &Terms::default())
            .await
            .unwrap();
        ca.create_affiliation(&admin, path).await.unwrap();
        let calls = world.server.calls();
        let last = &calls[calls.len() - 2..];
        assert_eq!(last[0], format!("POST {expected}enroll"));
        assert_eq!(last[1], format!("POST {expected}affiliations?force=true"));
    }
}

/// The report of an error, which must not contain these texts.
fn told(error: &Error, hidden: &[&str]) -> String {
    let text = format!("{error} {error:?}");
    for hidden in hidden {
        assert!(!text.contains(hidden), "{text}");
        assert!(!text.contains(&STANDARD.encode(hidden)), "{text}");
    }
    text
}

#[tokio::test]
async fn what_a_ca_declines_is_reported_with_a_way_out_and_without_secrets() {
    let world = World::new().await;
    let ca = world.ca("", None);
    let wrong = enroll(&ca, "admin", "guessed", &Terms::default())
        .await
        .unwrap_err();
    let wrong = told(&wrong, &["guessed", "admin:guessed"]);
    assert!(wrong.contains("does not enroll \\\"admin\\\""), "{wrong}");
    assert!(
        wrong.contains("Authentication failure (HTTP 401)"),
        "{wrong}"
    );
    assert!(wrong.contains("check the name and the secret"), "{wrong}");

    let admin = enroll(&ca, "admin", "admin secret", &Terms::default())
        .await
        .unwrap();
    let affiliation = ca
        .register(&admin, &alice(), Some("chosen"))
        .await
        .unwrap_err();
    let affiliation = told(&affiliation, &["chosen"]);
    assert!(
        affiliation.contains("--create-affiliation"),
        "{affiliation}"
    );
    let alice = Registration {
        affiliation: "org1".to_owned(),
        ..alice()
    };
    assert_eq!(
        ca.register(&admin, &alice, Some("chosen")).await.unwrap(),
        "chosen"
    );
    let twice = ca
        .register(&admin, &alice, Some("chosen"))
        .await
        .unwrap_err();
    let twice = told(&twice, &["chosen"]);
    assert!(twice.contains("already registered"), "{twice}");
    assert!(twice.contains("without --register"), "{twice}");
    let user = enroll(&ca, "alice", "chosen", &Terms::default())
        .await
        .unwrap();
    let bob = Registration {
        name: "bob".to_owned(),
        ..alice.clone()
    };
    let registrar = ca.register(&user, &bob, None).await.unwrap_err();
    let registrar = told(&registrar, &[]);
    assert!(registrar.contains("hf.Registrar.Roles"), "{registrar}");

    // An identity of another CA.
    let other = World::new().await;
    let (elsewhere, terms) = (other.ca("", None), Terms::default());
    let stranger = enroll(&elsewhere, "admin", "admin secret", &terms).await;
    let stranger = stranger.unwrap();
    let request = SigningRequest::new("admin", &[], None).unwrap();
    let foreign = ca.reenroll(&stranger, &Terms::default(), request).await;
    let foreign = told(&foreign.err().unwrap(), &[]);
    assert!(foreign.contains("certificates that it issued"), "{foreign}");
    let missing = world.ca("", Some("ca9")).info().await.unwrap_err();
    assert!(told(&missing, &[]).contains("CA does not exist"));
}

#[tokio::test]
async fn a_ca_must_prove_its_name_and_be_there() {
    let world = World::new().await;
    let wrong = Node {
        security: Authority::new().stranger(),
        ..world.server.node(world.tls.stranger())
    };
    let error = Ca::new(wrong, "", None).info().await.unwrap_err();
    let text = told(&error, &[]);
    assert!(text.contains("signed by an unknown authority"), "{text}");
    assert!(text.contains("--tls-root FILE"), "{text}");
    assert!(world.server.calls().is_empty());

    let down = Node {
        route: crate::node::Route::Exposed("127.0.0.1:1".parse().unwrap()),
        ..world.server.node(world.tls.stranger())
    };
    let error = Ca::new(down, "", None).info().await.unwrap_err();
    let text = told(&error, &[]);
    assert!(
        text.contains(NAME) && text.contains("connection refused"),
        "{text}"
    );
    assert!(!error.hints().is_empty());
}

#[tokio::test]
async fn a_certificate_of_another_name_or_key_is_not_taken() {
    let world = World::new().await;
    let ca = world.ca("", None);
    let request = SigningRequest::new("eve", &[], None).unwrap();
    let name = ca
        .enroll("admin", "admin secret", &Terms::default(), request)
        .await;
    let name = told(&name.err().unwrap(), &["admin secret"]);
    assert!(name.contains("must equal the enrollment ID"), "{name}");
    let issued = enroll(&ca, "admin", "admin secret", &Terms::default())
        .await
        .unwrap();
    let issued = issued.certificate().to_pem();
    let request = SigningRequest::new("admin", &[], None).unwrap();
    assert_eq!(format!("{request:?}"), "SigningRequest(\"admin\")");
    let error = request.issued(&issued).err().unwrap().to_string();
    assert!(error.contains("for another key"), "{error}");
}
