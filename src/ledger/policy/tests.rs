use super::*;
use crate::ledger::config_tree::{Configuration, Group};
use crate::ledger::message::common::Block;
use crate::ledger::message::configuration::{Capabilities, Capability, CapabilityEntry};
use crate::ledger::sign::Creator;

macro_rules! fixture {
    ($path:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/", $path))
    };
}

fn channel(block: &[u8]) -> Group {
    let block: Block = decode(block, "the block").unwrap();
    Configuration::from_block(&block).unwrap().1.channel
}

fn raft() -> Group {
    channel(fixture!("v2.5.16/mychannel.block"))
}

fn signer(msp_id: &str, pem: &[u8]) -> Creator {
    Creator {
        msp_id: msp_id.to_owned(),
        certificate: Certificate::from_pem(pem, "the signer").unwrap(),
    }
}

const ADMIN_1: &[u8] = fixture!(
    "v2.5.16/crypto-config/peerOrganizations/org1/users/Admin@org1/msp/signcerts/Admin@org1-cert.pem"
);
const USER_1: &[u8] = fixture!(
    "v2.5.16/crypto-config/peerOrganizations/org1/users/User1@org1/msp/signcerts/User1@org1-cert.pem"
);
const PEER_1: &[u8] = fixture!(
    "v2.5.16/crypto-config/peerOrganizations/org1/peers/peer0.org1/msp/signcerts/peer0.org1-cert.pem"
);
const ADMIN_2: &[u8] = fixture!(
    "v2.5.16/crypto-config/peerOrganizations/org2/users/Admin@org2/msp/signcerts/Admin@org2-cert.pem"
);
const ADMIN_ORDERER: &[u8] = fixture!(
    "v2.5.16/crypto-config/ordererOrganizations/orgorderer1/users/Admin@orgorderer1/msp/signcerts/Admin@orgorderer1-cert.pem"
);

/// Rule, numbers of the principals (a list is `n` and its rules), and the principals in their
/// order: as configtxgen 2.5.16 encodes the text.
const EXPRESSIONS: [(&str, &str, &str); 5] = [
    ("OR('A.admin')", "[1, 0]", "A.admin"),
    (
        "OR('A.admin', AND('B.peer', 'C.client'), OutOf(2, 'D.member', \"E-1.x.orderer\", \
         OR('F.peer', 'A.admin')))",
        "[1, 6, [2, 0, 1], [2, 4, 5, [1, 2, 3]]]",
        "B.peer C.client F.peer A.admin D.member E-1.x.orderer A.admin",
    ),
    (
        "OutOf('1', And('A.member'), or(AND('B.member','C.member'),'D.member'), 'E.member')",
        "[1, [1, 0], [1, [2, 1, 2], 3], 4]",
        "A.member B.member C.member D.member E.member",
    ),
    ("OutOf(0, 'A.member')", "[0, 0]", "A.member"),
    (
        "outof(3, 'A.member', 'B.member', AND('C.member'))",
        "[3, 1, 2, [1, 0]]",
        "C.member A.member B.member",
    ),
];

fn numbers(rule: &SignaturePolicy) -> String {
    match rule.r#type.as_ref().unwrap() {
        Rule::SignedBy(index) => index.to_string(),
        Rule::NOutOf(gate) => {
            let rules: Vec<String> = gate.rules.iter().map(numbers).collect();
            format!("[{}, {}]", gate.n, rules.join(", "))
        }
    }
}

#[test]
fn expressions_are_encoded_as_fabric_does() {
    for (text, rule, principals) in EXPRESSIONS {
        let Policy::Signature(policy) = Policy::parse(text).unwrap() else {
            panic!("{text}");
        };
        assert_eq!(numbers(policy.rule.as_ref().unwrap()), rule, "{text}");
        let named: Vec<String> = policy.identities.iter().map(principal_words).collect();
        assert_eq!(named.join(" ").replace('\'', ""), principals, "{text}");
    }
}

#[test]
fn words_of_a_policy_read_back_to_the_same_policy() {
    let texts = EXPRESSIONS.map(|(text, ..)| text);
    for text in texts
        .into_iter()
        .chain(["MAJORITY Admins", "ANY of Readers", "ALL Writers"])
    {
        let policy = Policy::parse(text).unwrap();
        assert_eq!(
            Policy::parse(&policy.to_string()).unwrap(),
            policy,
            "{text}"
        );
        assert_eq!(
            Policy::from_message(&policy.to_message()).unwrap(),
            policy,
            "{text}"
        );
    }
    assert_eq!(
        Policy::parse("MAJORITY Admins").unwrap().to_string(),
        "MAJORITY of Admins"
    );
    assert_eq!(
        Policy::parse("or( \"A.peer\" )").unwrap().to_string(),
        "OR('A.peer')"
    );
}

#[test]
fn policies_of_a_channel_are_those_of_its_configtx_yaml() {
    let channel = raft();
    for (path, name, text) in [
        (
            &["Application", "Org1MSP"][..],
            "Readers",
            "OR('Org1MSP.admin', 'Org1MSP.peer', 'Org1MSP.client')",
        ),
        (
            &["Application", "Org1MSP"],
            "Endorsement",
            "OR('Org1MSP.peer')",
        ),
        (
            &["Orderer", "Orgorderer1MSP"],
            "Readers",
            "OR('Orgorderer1MSP.member')",
        ),
        (
            &["Application"],
            "LifecycleEndorsement",
            "MAJORITY Endorsement",
        ),
        (&[], "Readers", "ANY Readers"),
    ] {
        let policy = channel.group(path).unwrap().policies[name]
            .policy
            .as_ref()
            .unwrap();
        assert_eq!(Policy::parse(text).unwrap().to_message(), *policy, "{text}");
    }
}

#[test]
fn a_text_that_is_no_policy_is_an_error_that_says_why() {
    for (text, why) in [
        (
            "",
            "expected a principal in quotes, AND, OR or OutOf at column 1, found the end",
        ),
        ("MAJORITY", "expected one name of a policy"),
        ("MAJORITY Admins Readers", "expected one name of a policy"),
        (
            "'Org1MSP.admin'",
            "expected AND(...), OR(...) or OutOf(...)",
        ),
        (
            "OR('Org1MSP.admin'",
            "expected \",\" or \")\" at column 19, found the end",
        ),
        ("OR('Org1MSP.admin)", "unterminated quote at column 4"),
        (
            "OR('Org1MSP.admin') x",
            "expected the end at column 21, found 'x'",
        ),
        ("OR()", "OR takes principals in quotes"),
        (
            "ORR('Org1MSP.admin')",
            "unknown word \"ORR\"; did you mean OR?",
        ),
        (
            "OR('Org1MSP.admn')",
            "unknown role \"admn\" in \"Org1MSP.admn\"; did you mean admin?",
        ),
        ("OR('Org1MSP')", "\"Org1MSP\" has no role"),
        ("OR('Org_1.admin')", "the MSP id \"Org_1\" can only have"),
        (
            "OutOf('Org1MSP.admin')",
            "OutOf starts with the number of required signatures",
        ),
        ("OutOf(2, 'Org1MSP.admin')", "OutOf requires 2 of 1"),
        ("OutOf(99999999999, 'A.admin')", "99999999999 is too large"),
        (
            "OR(é)",
            "expected a principal in quotes, AND, OR or OutOf at column 4, found 'é'",
        ),
    ] {
        let error = Policy::parse(text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    let deep = format!("{}'A.admin'{}", "OR(".repeat(5000), ")".repeat(5000));
    let error = Policy::parse(&deep).unwrap_err().to_string();
    assert!(error.contains("more than 32 calls inside each other"));
}

#[test]
fn a_policy_that_names_an_unknown_organization_is_refused() {
    let known: BTreeSet<String> = ["Org1MSP".to_owned(), "Org2MSP".to_owned()].into();
    let policy = Policy::parse("AND('Org1MSP.peer', 'Orh2MSP.peer')").unwrap();
    let error = policy
        .check_organizations("Endorsement", &known)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the policy Endorsement names an unknown organization\nwhy: AND('Org1MSP.peer', \
         'Orh2MSP.peer') names \"Orh2MSP\"; the channel has Org1MSP, Org2MSP\nhint: did you mean \
         \"Org2MSP\"?"
    );
    let policy = Policy::parse("OR('Org1MSP.peer', 'Org2MSP.peer')").unwrap();
    policy.check_organizations("Endorsement", &known).unwrap();
}

fn verdict(path: &str, signers: &[Creator]) -> Verdict {
    evaluate(&raft(), path, signers).unwrap()
}

#[test]
fn a_majority_needs_more_than_half_of_the_organizations() {
    let (one, two) = (signer("Org1MSP", ADMIN_1), signer("Org2MSP", ADMIN_2));
    let path = "/Channel/Application/Admins";
    for (signers, is_satisfied, words) in [
        (vec![], false, "needs 2 of Org1MSP, Org2MSP"),
        (
            vec![one.clone()],
            false,
            "Org1MSP has signed; needs 1 more of Org2MSP",
        ),
        // The same signature twice counts once.
        (
            vec![one.clone(), one.clone()],
            false,
            "Org1MSP has signed; needs 1 more of Org2MSP",
        ),
        (vec![one, two], true, "Org1MSP, Org2MSP have signed"),
    ] {
        let verdict = verdict(path, &signers);
        assert_eq!(verdict.is_satisfied, is_satisfied);
        assert_eq!(
            verdict.to_string(),
            format!("{path} (MAJORITY of Admins): {words}")
        );
    }
}

#[test]
fn only_the_role_that_a_policy_names_satisfies_it() {
    let path = "/Channel/Application/Org1MSP/Admins";
    for (signer, is_satisfied) in [
        (signer("Org1MSP", ADMIN_1), true),
        (signer("Org1MSP", USER_1), false),
        (signer("Org1MSP", PEER_1), false),
        // From another organization, under a wrong name.
        (signer("Org2MSP", ADMIN_2), false),
        (signer("Org1MSP", ADMIN_2), false),
        (signer("Org2MSP", ADMIN_1), false),
        (signer("Org9MSP", ADMIN_1), false),
    ] {
        let verdict = verdict(path, std::slice::from_ref(&signer));
        assert_eq!(verdict.is_satisfied, is_satisfied, "{signer:?}");
    }
    let satisfied = verdict(path, &[signer("Org1MSP", ADMIN_1)]);
    assert_eq!(satisfied.signed_by, ["Admin@org1 of Org1MSP"]);
    let open = verdict(path, &[signer("Org1MSP", USER_1)]);
    assert_eq!(open.missing, ["'Org1MSP.admin'"]);
    let words = "(OR('Org1MSP.admin')): needs a signature of 'Org1MSP.admin'";
    assert!(open.to_string().ends_with(words), "{open}");
    assert!(
        verdict(
            "/Channel/Application/Org1MSP/Endorsement",
            &[signer("Org1MSP", PEER_1)]
        )
        .is_satisfied
    );
}

#[test]
fn the_policy_of_the_channel_counts_orderers_and_application() {
    let all = [
        signer("Org1MSP", ADMIN_1),
        signer("Org2MSP", ADMIN_2),
        signer("Orgorderer1MSP", ADMIN_ORDERER),
    ];
    assert!(verdict("/Channel/Admins", &all).is_satisfied);
    let open = verdict("/Channel/Admins", &all[..2]);
    assert_eq!(
        open.to_string(),
        "/Channel/Admins (MAJORITY of Admins): Application has signed; needs 1 more of Orderer"
    );
    assert_eq!(open.parts[1].path, "/Channel/Orderer/Admins");
}

#[test]
fn a_policy_that_does_not_exist_is_never_satisfied() {
    for path in [
        "/Channel/Nothing",
        "/Channel/No/Admins",
        "Admins",
        "",
        "/",
        "/Other/Admins",
    ] {
        let verdict = verdict(path, &[signer("Org1MSP", ADMIN_1)]);
        assert!(!verdict.is_satisfied, "{path}");
    }
}

#[test]
fn blocks_of_a_bft_channel_need_a_quorum_of_its_consenters() {
    let channel = channel(fixture!("v3.1.5/mychannel.block"));
    let path = "/Channel/Orderer/BlockValidation";
    macro_rules! orderer {
        ($name:literal) => {
            signer(
                "Orgorderer1MSP",
                include_bytes!(concat!(
                    "../../../tests/fixtures/v3.1.5/crypto-config/ordererOrganizations/",
                    "orgorderer1/orderers/",
                    $name,
                    ".orgorderer1/msp/signcerts/",
                    $name,
                    ".orgorderer1-cert.pem"
                )),
            )
        };
    }
    let all = [
        orderer!("orderer0"),
        orderer!("orderer1"),
        orderer!("orderer3"),
    ];
    assert!(evaluate(&channel, path, &all).unwrap().is_satisfied);
    let open = evaluate(&channel, path, &all[..2]).unwrap();
    assert!(!open.is_satisfied);
    let missing = ["orderer2", "orderer3"];
    let missing = missing.map(|it| format!("certificate \"{it}.orgorderer1\" of Orgorderer1MSP"));
    assert_eq!(open.missing, missing);
}

#[test]
fn one_signature_counts_for_one_principal() {
    let Policy::Signature(policy) =
        Policy::parse("AND('Org1MSP.member', 'Org1MSP.member')").unwrap()
    else {
        unreachable!()
    };
    let judge = |signers: &[Creator]| {
        evaluate_signature_policy(&raft(), "twice", &policy, signers)
            .unwrap()
            .is_satisfied
    };
    assert!(!judge(&[signer("Org1MSP", ADMIN_1)]));
    assert!(judge(&[
        signer("Org1MSP", ADMIN_1),
        signer("Org1MSP", USER_1)
    ]));
}

#[test]
fn before_1_4_3_no_unit_makes_an_administrator() {
    let mut channel = raft();
    let judge = |channel: &Group| {
        let path = "/Channel/Application/Org1MSP/Admins";
        evaluate(channel, path, &[signer("Org1MSP", ADMIN_1)])
            .unwrap()
            .is_satisfied
    };
    assert!(judge(&channel));
    let level = CapabilityEntry {
        key: Some("V1_4_2".to_owned()),
        value: Some(Capability {}),
    };
    channel.set_value(
        "Capabilities",
        &Capabilities {
            capabilities: vec![level],
        },
    );
    assert!(!judge(&channel));
}

#[test]
fn hostile_policies_are_judged_without_a_panic() {
    let signers = [signer("Org1MSP", ADMIN_1)];
    for rule in [
        None,
        Some(SignaturePolicy { r#type: None }),
        Some(signed_by(5)),
        Some(n_out_of(1, vec![signed_by(0), signed_by(7)])),
        Some(SignaturePolicy {
            r#type: Some(Rule::SignedBy(-1)),
        }),
    ] {
        let policy = SignaturePolicyEnvelope {
            version: 0,
            rule,
            identities: vec![role_principal(RoleType::Member, "Org1MSP")],
        };
        let verdict = evaluate_signature_policy(&raft(), "hostile", &policy, &signers).unwrap();
        assert!(!verdict.is_satisfied, "{policy:?}");
    }
}
