//! Finds problems in a new channel for which orderers or peers would reject it, before anything is
//! sent.

use super::{Application, Channel, Consensus, Orderer};
use crate::error::{Error, Place, Result, nearest};
use crate::fabric::guard;
use crate::identity::certificate::Certificate;
use crate::ledger::message::configuration::Consenter;
use crate::ledger::message::orderer_configuration::{BftOptions, RaftOptions};
use crate::ledger::msp::Rules;
use crate::ledger::organization::{Organization, Policies};
use std::collections::BTreeSet;

/// Refuses a name that Fabric does not accept for a channel (`common/configtx/validator.go`,
/// `ValidateChannelID`). Common mistakes are underscores, capitals and a leading digit.
pub fn check_name(name: &str) -> Result<()> {
    let is_allowed =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    let why = match name {
        "" => "it is empty".to_owned(),
        name if name.len() > MAX_NAME => format!("it is longer than {MAX_NAME} characters"),
        name if !name.starts_with(|c: char| c.is_ascii_lowercase()) => {
            "it does not start with a lower-case letter".to_owned()
        }
        name => match name.chars().find(|c| !is_allowed(*c)) {
            Some(c) => format!("it contains {c:?}"),
            None => return Ok(()),
        },
    };
    Err(Error::user(format!("{name:?} is not a valid channel name"))
        .why(why)
        .hint("expected lower-case letters, digits, dots and dashes, starting with a letter"))
}

const MAX_NAME: usize = 249;

pub fn check(channel: &Channel) -> Result<()> {
    let mut check = Check {
        problems: Vec::new(),
    };
    check.channel(channel);
    if check.problems.is_empty() {
        return Ok(());
    }
    Err(Error::user("the configuration of the channel is not valid").at_all(check.problems))
}

struct Check {
    problems: Vec<Place>,
}

impl Check {
    fn blame(&mut self, place: impl Into<String>, note: impl Into<String>) {
        self.problems.push(Place::new(place).note(note));
    }

    fn channel(&mut self, channel: &Channel) {
        self.levels("channel", &channel.capabilities);
        let organizations = || {
            let orderers = channel.orderer.iter().flat_map(|it| &it.organizations);
            let peers = channel.application.iter().flat_map(|it| &it.organizations);
            orderers
                .chain(peers)
                .chain(channel.consortiums.values().flatten())
        };
        let known: BTreeSet<String> = organizations().map(|it| it.msp.id.clone()).collect();
        self.policies(
            "channel",
            &channel.policies,
            &["Admins", "Readers", "Writers"],
            &known,
        );
        if let Some(orderer) = &channel.orderer {
            self.orderer(channel, orderer, &known);
        }
        if let Some(application) = &channel.application {
            self.application(application, &known);
        }
        for (name, organizations) in &channel.consortiums {
            self.organizations(&format!("consortium {name}"), organizations, &known);
        }
        if channel.orderer.is_none() && channel.application.is_none() {
            self.blame("channel", "it has neither orderers nor organizations");
        }
    }

    fn application(&mut self, application: &Application, known: &BTreeSet<String>) {
        self.levels("application", &application.capabilities);
        let needed = ["Admins", "Readers", "Writers"];
        self.policies("application", &application.policies, &needed, known);
        self.organizations("application", &application.organizations, known);
        if application.organizations.is_empty() {
            self.blame("application", "it has no organization");
        }
    }

    fn orderer(&mut self, channel: &Channel, orderer: &Orderer, known: &BTreeSet<String>) {
        self.levels("orderer", &orderer.capabilities);
        let needed = ["Admins", "BlockValidation", "Readers", "Writers"];
        self.policies("orderer", &orderer.policies, &needed, known);
        self.organizations("orderer", &orderer.organizations, known);
        self.limits(channel, orderer);
        match &orderer.consensus {
            Consensus::Solo => {}
            Consensus::Kafka { brokers } if brokers.is_empty() => {
                self.blame("Kafka", "it has no brokers");
            }
            Consensus::Kafka { .. } => {}
            Consensus::Raft {
                consenters,
                options,
            } => {
                let nodes = consenters.iter().map(|it| Node {
                    host: &it.host,
                    port: it.port,
                    client: &it.client_tls_cert,
                    server: &it.server_tls_cert,
                });
                self.consenters(&nodes.collect::<Vec<_>>(), &orderer.organizations);
                self.raft_options(options);
            }
            Consensus::Bft {
                consenters,
                options,
            } => {
                if !channel.capabilities.contains("V3_0") {
                    self.blame("channel", "BFT requires the channel level V3_0");
                }
                self.bft(consenters, &orderer.organizations);
                self.bft_options(options);
            }
        }
    }

    fn limits(&mut self, channel: &Channel, orderer: &Orderer) {
        let size = &orderer.batch_size;
        if size.max_message_count == 0
            || size.absolute_max_bytes == 0
            || size.preferred_max_bytes == 0
        {
            self.blame("batch size", "a limit of 0 allows no transactions");
        }
        if size.preferred_max_bytes > size.absolute_max_bytes {
            self.blame(
                "batch size",
                "the preferred size exceeds the absolute maximum",
            );
        }
        if orderer.batch_timeout.is_zero() {
            self.blame("batch timeout", "it must be greater than 0");
        }
        if channel.capabilities.contains("V3_0") {
            if !orderer.addresses.is_empty() {
                let note = "the channel level V3_0 does not allow common addresses; set the \
                            endpoints of each organization";
                self.blame("orderer addresses", note);
            }
            for it in orderer
                .organizations
                .iter()
                .filter(|it| it.endpoints.is_empty())
            {
                let note = "it has no endpoints; the channel level V3_0 requires them";
                self.blame(format!("orderer, organization {}", it.name), note);
            }
        }
    }

    /// An unknown level of the group: orderers accept it, but peers no longer start
    /// (`docs/source/capabilities_concept.md`).
    fn levels(&mut self, group: &str, levels: &BTreeSet<String>) {
        for level in levels.iter().filter(|it| guard::knows(group, it).is_none()) {
            self.blame(
                group,
                format!("{level:?} is not a capability level of this group"),
            );
        }
    }

    fn policies(
        &mut self,
        place: &str,
        policies: &Policies,
        needed: &[&str],
        known: &BTreeSet<String>,
    ) {
        for name in needed.iter().filter(|name| !policies.contains_key(**name)) {
            self.blame(place, format!("it has no policy {name}"));
        }
        for (name, policy) in policies {
            let unknown: Vec<String> = policy.organizations().difference(known).cloned().collect();
            for id in unknown {
                let meant = nearest(&id, known.iter().map(String::as_str));
                let meant = meant.map_or_else(String::new, |it| format!("; did you mean {it:?}?"));
                let note =
                    format!("{policy} names {id:?}, which is not a member of the channel{meant}");
                self.blame(format!("{place}, policy {name}"), note);
            }
        }
    }

    fn organizations(&mut self, place: &str, all: &[Organization], known: &BTreeSet<String>) {
        let mut names = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for organization in all {
            let subject = format!("{place}, organization {}", organization.name);
            let is_named = names.insert(&organization.name);
            if !is_named || !ids.insert(&organization.msp.id) {
                let twice = match is_named {
                    true => format!("the MSP id {:?}", organization.msp.id),
                    false => "it".to_owned(),
                };
                self.blame(subject.clone(), format!("{twice} is listed twice"));
            }
            if let Err(error) = organization.msp.check() {
                for problem in error.places() {
                    self.blame(subject.clone(), problem.note.clone());
                }
            }
            self.policies(
                &subject,
                &organization.policies,
                &["Admins", "Readers", "Writers"],
                known,
            );
            for peer in &organization.anchor_peers {
                if peer.host.is_empty() || !(1..=65_535).contains(&peer.port) {
                    let note = format!(
                        "the anchor peer {}:{} is not an address",
                        peer.host, peer.port
                    );
                    self.blame(subject.clone(), note);
                }
            }
        }
    }

    fn consenters(&mut self, nodes: &[Node<'_>], organizations: &[Organization]) {
        if nodes.is_empty() {
            self.blame("consenters", "there is none");
        }
        let mut addresses = BTreeSet::new();
        let mut certificates = BTreeSet::new();
        for node in nodes {
            let place = format!("consenter {}:{}", node.host, node.port);
            if node.host.is_empty() || !(1..=65_535).contains(&node.port) {
                self.blame(place.clone(), "it has no host or no port");
            }
            if !addresses.insert((node.host, node.port)) {
                self.blame(place.clone(), "its address is listed twice");
            }
            // A certificate may be both the client and server certificate of a node, but not belong
            // to two nodes.
            let own = BTreeSet::from([node.client, node.server]);
            if own
                .iter()
                .any(|it| !it.is_empty() && !certificates.insert(*it))
            {
                self.blame(place.clone(), "another consenter has its TLS certificate");
            }
            for (kind, pem) in [("client", node.client), ("server", node.server)] {
                self.tls(&place, kind, pem, organizations);
            }
        }
    }

    fn tls(&mut self, place: &str, kind: &str, pem: &[u8], organizations: &[Organization]) {
        if pem.is_empty() {
            return self.blame(place, format!("it has no TLS {kind} certificate"));
        }
        let certificate = match Certificate::from_pem(pem, kind) {
            Ok(certificate) => certificate,
            Err(_) => {
                return self.blame(place, format!("its TLS {kind} certificate is unreadable"));
            }
        };
        let authorities = organizations
            .iter()
            .flat_map(|it| it.msp.tls_roots.iter().chain(&it.msp.tls_intermediates));
        let mut authorities =
            authorities.filter_map(|pem| Certificate::from_pem(pem, "a TLS authority").ok());
        if !authorities.any(|authority| certificate.is_signed_by(&authority)) {
            let note =
                format!("no TLS authority of the orderers signed its TLS {kind} certificate");
            self.blame(place, note);
        }
    }

    fn bft(&mut self, consenters: &[Consenter], organizations: &[Organization]) {
        let nodes = consenters.iter().map(|it| Node {
            host: &it.host,
            port: it.port,
            client: &it.client_tls_cert,
            server: &it.server_tls_cert,
        });
        self.consenters(&nodes.collect::<Vec<_>>(), organizations);
        // Fabric allows fewer, but then the channel stops with the first node that fails.
        if consenters.len() < MIN_BFT_NODES {
            let count = consenters.len();
            let note = format!("BFT needs at least {MIN_BFT_NODES} nodes (3f+1), not {count}");
            self.blame("consenters", note);
        }
        let mut ids = BTreeSet::new();
        for consenter in consenters {
            let place = format!("consenter {}:{}", consenter.host, consenter.port);
            if consenter.id == 0 || !ids.insert(consenter.id) {
                self.blame(
                    place.clone(),
                    format!("its id {} is 0 or a duplicate", consenter.id),
                );
            }
            let msp_id = &consenter.msp_id;
            let Some(owner) = organizations.iter().find(|it| it.msp.id == *msp_id) else {
                self.blame(
                    place,
                    format!("no organization of the orderers has its MSP id {msp_id:?}"),
                );
                continue;
            };
            match Certificate::from_pem(&consenter.identity, "identity") {
                Err(_) => self.blame(place, "its identity is not a certificate"),
                Ok(identity) => {
                    if let Err(why) = owner.msp.validate(&identity, Rules::V1_4_3) {
                        self.blame(
                            place,
                            format!("{msp_id} does not accept its identity: {why}"),
                        );
                    }
                }
            }
        }
    }

    /// `orderer/consensus/etcdraft/util.go`, `VerifyConfigMetadata`.
    fn raft_options(&mut self, options: &RaftOptions) {
        if !is_duration(&options.tick_interval) {
            let note = format!(
                "{:?} is not a duration such as 500ms",
                options.tick_interval
            );
            self.blame("Raft, tick interval", note);
        }
        if options.heartbeat_tick == 0 || options.max_inflight_blocks == 0 {
            self.blame(
                "Raft",
                "heartbeat tick and inflight blocks must be greater than 0",
            );
        }
        if options.election_tick <= options.heartbeat_tick {
            self.blame(
                "Raft",
                "the election tick must be greater than the heartbeat tick",
            );
        }
    }

    fn bft_options(&mut self, options: &BftOptions) {
        for (name, text) in [
            (
                "request batch interval",
                &options.request_batch_max_interval,
            ),
            ("request forward timeout", &options.request_forward_timeout),
            (
                "request complain timeout",
                &options.request_complain_timeout,
            ),
            (
                "request auto remove timeout",
                &options.request_auto_remove_timeout,
            ),
            (
                "view change resend interval",
                &options.view_change_resend_interval,
            ),
            ("view change timeout", &options.view_change_timeout),
            (
                "leader heartbeat timeout",
                &options.leader_heartbeat_timeout,
            ),
            ("collect timeout", &options.collect_timeout),
        ] {
            if !is_duration(text) {
                self.blame(
                    format!("BFT, {name}"),
                    format!("{text:?} is not a duration such as 20s"),
                );
            }
        }
    }
}

const MIN_BFT_NODES: usize = 4;

struct Node<'a> {
    host: &'a str,
    port: u32,
    client: &'a [u8],
    server: &'a [u8],
}

/// Returns true if Go parses the text as a duration of more than 0: `1m30s`, `1.5s`.
pub fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &rest[..rest.len() - digits.len()];
        let units = ["ns", "us", "µs", "ms", "s", "m", "h"];
        let unit = digits.trim_start_matches(|c: char| c.is_alphabetic());
        let name = &digits[..digits.len() - unit.len()];
        if number.parse::<f64>().is_err() || !units.contains(&name) {
            return false;
        }
        rest = unit;
    }
    text.contains(|c: char| ('1'..='9').contains(&c))
}
