use super::*;
use crate::ledger::config_tree::{Configuration, Group};
use crate::ledger::message::common::Block;
use crate::ledger::message::policy::{Classification, OrganizationUnit, Principal, Role, RoleType};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use sha2::{Digest, Sha256};

macro_rules! fixture {
    ($path:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/v2.5.16/", $path))
    };
}

fn channel() -> Group {
    let block: Block = decode(fixture!("mychannel.block"), "the block").unwrap();
    Configuration::from_block(&block).unwrap().1.channel
}

#[test]
fn the_msp_of_the_files_is_the_msp_of_the_channel() {
    let root = fixture!("crypto-config/peerOrganizations/org1/msp/cacerts/ca.org1-cert.pem");
    let tls = fixture!("crypto-config/peerOrganizations/org1/msp/tlscacerts/tlsca.org1-cert.pem");
    let msp = Msp {
        roots: vec![root.to_vec()],
        tls_roots: vec![tls.to_vec()],
        ..Msp::new("Org1MSP").with_node_ous(root)
    };
    msp.check().unwrap();
    let group = channel()
        .group(&["Application", "Org1MSP"])
        .unwrap()
        .clone();
    let message: MspConfig = group.value("MSP").unwrap().unwrap();
    assert_eq!(msp.to_message(), message);
    assert_eq!(Msp::from_message(&message).unwrap(), msp);
}

#[test]
fn check_reports_all_problems_at_once() {
    let leaf = fixture!(
        "crypto-config/peerOrganizations/org1/users/Admin@org1/msp/signcerts/Admin@org1-cert.pem"
    );
    let root = fixture!("crypto-config/peerOrganizations/org2/msp/cacerts/ca.org2-cert.pem");
    let mut msp = Msp {
        roots: vec![leaf.to_vec()],
        tls_roots: vec![b"nothing".to_vec()],
        ..Msp::new("Org1MSP").with_node_ous(root)
    };
    let ous = msp.node_ous.as_mut().unwrap();
    (ous.admin_ou_identifier, ous.client_ou_identifier) = (None, None);
    let error = msp.check().unwrap_err();
    let notes: Vec<&str> = error
        .places()
        .iter()
        .map(|place| place.note.as_str())
        .collect();
    assert_eq!(
        notes,
        [
            "it has neither certificates of administrators nor a unit for them",
            "the root certificate \"Admin@org1\" is not a CA certificate",
            "TLS root certificate is not a certificate: it has no PEM block CERTIFICATE",
            "the authority of the unit \"peer\" is not among its certificates",
            "the authority of the unit \"orderer\" is not among its certificates",
        ]
    );
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

fn parameters(name: &str, units: &[&str]) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    // One name has one entry of a type here, so a second unit goes by its number.
    let second = DnType::CustomDnType(vec![2, 5, 4, 11]);
    for (unit, kind) in units.iter().zip([DnType::OrganizationalUnitName, second]) {
        parameters.distinguished_name.push(kind, *unit);
    }
    parameters
}

impl Authority {
    fn new(name: &str, above: Option<&Authority>) -> Authority {
        let mut parameters = parameters(name, &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Authority(match above {
            None => CertifiedIssuer::self_signed(parameters, key).unwrap(),
            Some(above) => CertifiedIssuer::signed_by(parameters, key, &above.0).unwrap(),
        })
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn issue(&self, units: &[&str]) -> Certificate {
        let mut parameters = parameters("someone", units);
        parameters.serial_number = Some(SerialNumber::from(77_u64));
        let key = KeyPair::generate().unwrap();
        let pem = parameters.signed_by(&key, &self.0).unwrap().pem();
        Certificate::from_pem(pem.as_bytes(), "it").unwrap()
    }

    fn revoke(&self) -> Vec<u8> {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(77_u64),
            revocation_time: date_time_ymd(2026, 11, 22),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 11, 22),
            next_update: date_time_ymd(2036, 11, 22),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap().into_bytes()
    }
}

fn role(role: RoleType) -> Principal {
    let principal = Role {
        msp_identifier: "Org1MSP".to_owned(),
        role: role.into(),
    };
    Principal {
        principal_classification: Classification::Role.into(),
        principal: principal.encode_to_vec(),
    }
}

const RULES: Rules = Rules::V1_4_3;

#[test]
fn members_have_certificates_of_the_lowest_authorities() {
    let root = Authority::new("root", None);
    let between = Authority::new("between", Some(&root));
    let msp = Msp {
        roots: vec![root.pem()],
        intermediates: vec![between.pem()],
        ..Msp::new("Org1MSP").with_node_ous(&between.pem())
    };
    msp.check().unwrap();
    let peer = between.issue(&["peer"]);
    msp.satisfies(&peer, &role(RoleType::Peer), RULES).unwrap();
    msp.satisfies(&peer, &role(RoleType::Member), RULES)
        .unwrap();
    for (certificate, role_type, why) in [
        (
            between.issue(&["peer"]),
            RoleType::Admin,
            "it does not have the unit \"admin\"",
        ),
        (
            between.issue(&["peer", "admin"]),
            RoleType::Peer,
            "are more than one role",
        ),
        (
            between.issue(&["sales"]),
            RoleType::Member,
            "none of its units [\"sales\"] is a role",
        ),
        (
            root.issue(&["peer"]),
            RoleType::Member,
            "its issuer signs other authorities only",
        ),
        (
            Authority::new("other", None).issue(&["peer"]),
            RoleType::Member,
            "none of the organization's authorities signed it",
        ),
        (
            Certificate::from_pem(&between.pem(), "it").unwrap(),
            RoleType::Member,
            "it is the certificate of an authority",
        ),
    ] {
        let reason = msp
            .satisfies(&certificate, &role(role_type), RULES)
            .unwrap_err();
        assert!(reason.contains(why), "{reason}");
    }
}

#[test]
fn a_revoked_certificate_or_one_of_another_authority_is_refused() {
    let (root, second) = (Authority::new("root", None), Authority::new("second", None));
    let mut msp = Msp {
        roots: vec![root.pem(), second.pem()],
        ..Msp::new("Org1MSP").with_node_ous(&root.pem())
    };
    let peer = root.issue(&["peer"]);
    msp.validate(&peer, RULES).unwrap();
    let reason = msp.validate(&second.issue(&["peer"]), RULES).unwrap_err();
    assert_eq!(reason, "another authority than the role's issued it");
    msp.revocations = vec![root.revoke()];
    assert_eq!(msp.validate(&peer, RULES).unwrap_err(), "it is revoked");
    // The other authority's list does not count.
    msp.revocations = vec![second.revoke()];
    msp.validate(&peer, RULES).unwrap();
}

#[test]
fn administrators_may_be_listed_by_certificate() {
    let root = Authority::new("root", None);
    let admin = root.issue(&[]);
    let msp = Msp {
        roots: vec![root.pem()],
        admins: vec![admin.to_pem().into_bytes()],
        ..Msp::new("Org1MSP")
    };
    msp.check().unwrap();
    for rules in [Rules::V1_0, Rules::V1_1, Rules::V1_4_3] {
        msp.satisfies(&admin, &role(RoleType::Admin), rules)
            .unwrap();
        msp.satisfies(&root.issue(&[]), &role(RoleType::Admin), rules)
            .unwrap_err();
        msp.satisfies(&admin, &role(RoleType::Member), rules)
            .unwrap();
    }
}

#[test]
fn a_unit_counts_with_the_authorities_above_it() {
    let root = Authority::new("root", None);
    let msp = Msp {
        roots: vec![root.pem()],
        ..Msp::new("Org1MSP")
    };
    let unit = |certifiers_identifier: Vec<u8>| {
        let unit = OrganizationUnit {
            msp_identifier: "Org1MSP".to_owned(),
            organizational_unit_identifier: "sales".to_owned(),
            certifiers_identifier,
        };
        Principal {
            principal_classification: Classification::OrganizationUnit.into(),
            principal: unit.encode_to_vec(),
        }
    };
    let above = Certificate::from_pem(&root.pem(), "it").unwrap();
    let certifiers = Sha256::digest(above.der()).to_vec();
    msp.satisfies(&root.issue(&["sales"]), &unit(certifiers.clone()), RULES)
        .unwrap();
    msp.satisfies(&root.issue(&["other"]), &unit(certifiers), RULES)
        .unwrap_err();
    msp.satisfies(&root.issue(&["sales"]), &unit(Vec::new()), RULES)
        .unwrap_err();
}
