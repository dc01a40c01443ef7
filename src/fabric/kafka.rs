//! Kafka and ZooKeeper for orderers of Fabric 1.4 to 2.5: the rules that protect ordered blocks,
//! and the servers' configuration.
//!
//! With K brokers, replication factor N, M in-sync replicas and blocks of at most A bytes,
//! `docs/source/kafka.rst` of Fabric 1.4 requires 1 < M < N < K, so that channels can be created
//! and written to while a broker is down. The user can disable the rule with `dev`.

use super::images::Images;
use super::ports::{KAFKA_PORT, ZOOKEEPER_PORT};
use super::settings::Settings;
use super::versions::SYSTEM_CHANNEL;
use super::{Breaks, Names};
use serde_json::{Map, Value, json};

const MIB: u64 = 1024 * 1024;
/// `socket.request.max.bytes`, Kafka's default. All messages must be smaller.
const SOCKET_REQUEST: u64 = 100 * MIB;

/// Server properties with a broker's identity and data folder, which values may not change.
const OWN: [&str; 5] = [
    "broker.id",
    "listeners",
    "advertised.listeners",
    "zookeeper.connect",
    "log.dirs",
];

/// Returns the facts for templates: `zookeepers` and `brokers`, each with its configuration as
/// text.
pub fn facts(
    settings: &Settings,
    names: &Names,
    images: Images,
    breaks: &mut Breaks,
) -> Map<String, Value> {
    let version = images.version;
    if !SYSTEM_CHANNEL.holds(version) {
        breaks.add(
            "fabricVersion",
            format!("Fabric {version} does not support Kafka: the last version is 2.5"),
        );
    }
    let brokers = settings.number("/kafka/brokers", 4);
    let zookeepers = settings.number("/kafka/zookeepers", 3);
    let properties = properties(settings);
    check(&properties, settings, brokers, zookeepers, breaks);
    let ensemble: Vec<String> = (0..zookeepers)
        .map(|i| names.address(&format!("zookeeper{i}")))
        .collect();
    let connect = ensemble
        .iter()
        .map(|host| format!("{host}:{ZOOKEEPER_PORT}"))
        .collect::<Vec<_>>()
        .join(",");
    let mut facts = Map::new();
    facts.insert(
        "zookeepers".to_owned(),
        (0..zookeepers)
            .map(|i| {
                let name = format!("zookeeper{i}");
                json!({"name": name, "address": names.address(&name), "id": i + 1, "config": zoo_cfg(&ensemble, i)})
            })
            .collect(),
    );
    let broker = |i| broker(i, names, &connect, &properties);
    facts.insert("brokers".to_owned(), (0..brokers).map(broker).collect());
    // A write needs M replicas, and each channel is on N of K brokers, so N - M of them may be
    // down.
    let spare = number(&properties, "default.replication.factor")
        .saturating_sub(number(&properties, "min.insync.replicas"));
    facts.insert("broker_max_unavailable".to_owned(), spare.max(1).into());
    facts.insert(
        "zookeeper_max_unavailable".to_owned(),
        (zookeepers.saturating_sub(1) / 2).max(1).into(),
    );
    facts
}

/// Returns the facts about one broker.
fn broker(i: u64, names: &Names, connect: &str, properties: &Map<String, Value>) -> Value {
    let name = format!("kafka{i}");
    let address = names.address(&name);
    let mut own = Map::new();
    let mut set = |name: &str, value: Value| own.insert(name.to_owned(), value);
    set("broker.id", i.into());
    let listen = format!("PLAINTEXT://0.0.0.0:{KAFKA_PORT}");
    set("listeners", listen.into());
    let advertised = format!("PLAINTEXT://{address}:{KAFKA_PORT}");
    set("advertised.listeners", advertised.into());
    set("zookeeper.connect", connect.into());
    // A subfolder, because some file systems have a `lost+found` at the volume's root, which Kafka
    // takes for a broken partition.
    set("log.dirs", "/var/lib/kafka/data".into());
    json!({
        "name": name,
        "address": address,
        "endpoint": format!("{address}:{KAFKA_PORT}"),
        "config": text(own.iter().chain(properties)),
    })
}

/// Returns the settings that all brokers share: those required by the rules, then the user's.
fn properties(settings: &Settings) -> Map<String, Value> {
    let dev = settings.flag("/kafka/dev", false);
    let at_most = |wanted: u64, most: u64| if dev { wanted.min(most.max(1)) } else { wanted };
    let factor = at_most(
        settings.number("/kafka/replicationFactor", 3),
        settings.number("/kafka/brokers", 4),
    );
    let replicas = at_most(settings.number("/kafka/minInsyncReplicas", 2), factor);
    // kafka.rst reserves 1 MiB for Kafka's own overhead on a block.
    let message = settings.number("/kafka/absoluteMaxBytes", 98 * MIB) + MIB;
    let mut properties = Map::new();
    let mut set = |name: &str, value: Value| {
        properties.insert(name.to_owned(), value);
    };
    set("default.replication.factor", factor.into());
    set("min.insync.replicas", replicas.into());
    set("offsets.topic.replication.factor", factor.into());
    // A replica that lags must not lead, because acknowledged blocks would be lost (kafka.rst).
    set("unclean.leader.election.enable", false.into());
    // The log is the permanent order of the ledger, so it never expires (kafka.rst).
    set("log.retention.ms", Value::from(-1));
    set("message.max.bytes", message.into());
    set("replica.fetch.max.bytes", message.into());
    set("socket.request.max.bytes", SOCKET_REQUEST.into());
    for (name, value) in settings.map("/kafka/config").into_iter().flatten() {
        set(name, value.clone());
    }
    properties
}

fn check(
    properties: &Map<String, Value>,
    settings: &Settings,
    brokers: u64,
    zookeepers: u64,
    breaks: &mut Breaks,
) {
    if settings.flag("/kafka/dev", false) {
        let factor = number(properties, "default.replication.factor");
        if factor > brokers {
            breaks.add(
                "kafka.config",
                format!("default.replication.factor {factor} is more than the {brokers} brokers"),
            );
        }
    } else {
        check_counts(properties, brokers, zookeepers, breaks);
    }
    if properties.get("unclean.leader.election.enable") != Some(&Value::Bool(false)) {
        breaks.add(
            "kafka.config",
            "unclean.leader.election.enable must be false: a leader that lags behind loses blocks",
        );
    }
    if properties
        .get("log.retention.ms")
        .map(Value::to_string)
        .as_deref()
        != Some("-1")
    {
        breaks.add(
            "kafka.config",
            "log.retention.ms must be -1: orderers replay a channel from its first message",
        );
    }
    check_sizes(properties, settings, breaks);
    for name in properties
        .keys()
        .filter(|name| OWN.contains(&name.as_str()))
    {
        breaks.add("kafka.config", format!("{name} is set by the chart"));
    }
}

/// Refuses numbers with which blocks are lost, or channels cannot be created while a broker is
/// down.
fn check_counts(
    properties: &Map<String, Value>,
    brokers: u64,
    zookeepers: u64,
    breaks: &mut Breaks,
) {
    let (factor, replicas) = (
        number(properties, "default.replication.factor"),
        number(properties, "min.insync.replicas"),
    );
    if brokers < 4 {
        breaks.add(
            "kafka.brokers",
            format!(
                "expected at least 4 brokers, to create channels while one is down, not {brokers}"
            ),
        );
    }
    if ![3, 5, 7].contains(&zookeepers) {
        breaks.add(
            "kafka.zookeepers",
            format!(
                "expected an ensemble of 3, 5 or 7, so that a vote has a majority, not {zookeepers}"
            ),
        );
    }
    if replicas < 2 {
        breaks.add(
            "kafka.minInsyncReplicas",
            format!("expected at least 2, because blocks must survive the loss of a disk, not {replicas}"),
        );
    }
    if replicas >= factor {
        breaks.add(
            "kafka.minInsyncReplicas",
            format!(
                "expected less than the replication factor {factor}, so that one replica can \
                     be down, not {replicas}"
            ),
        );
    }
    if factor >= brokers {
        breaks.add(
            "kafka.replicationFactor",
            format!("expected less than the {brokers} brokers, to create channels while one is down, not {factor}"),
        );
    }
}

/// Refuses limits that the largest block exceeds.
fn check_sizes(properties: &Map<String, Value>, settings: &Settings, breaks: &mut Breaks) {
    let least = settings.number("/kafka/absoluteMaxBytes", 98 * MIB) + MIB;
    let (fetch, message) = (
        number(properties, "replica.fetch.max.bytes"),
        number(properties, "message.max.bytes"),
    );
    let socket = number(properties, "socket.request.max.bytes");
    if fetch < least {
        breaks.add(
            "kafka.config",
            format!(
                "replica.fetch.max.bytes {fetch} is below {least}, kafka.absoluteMaxBytes and \
                     1 MiB: the largest block would not be replicated"
            ),
        );
    }
    if message < fetch {
        breaks.add(
            "kafka.config",
            format!("message.max.bytes {message} is below replica.fetch.max.bytes {fetch}"),
        );
    }
    if message >= socket {
        breaks.add(
            "kafka.absoluteMaxBytes",
            format!(
                "message.max.bytes {message} must be below socket.request.max.bytes {socket}: a \
                 block would not fit a request"
            ),
        );
    }
}

fn number(properties: &Map<String, Value>, name: &str) -> u64 {
    properties
        .get(name)
        .and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
        .unwrap_or(0)
}

fn text<'a>(properties: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    properties
        .map(|(name, value)| {
            format!(
                "{name}={}\n",
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            )
        })
        .collect()
}

/// Returns a server's zoo.cfg. Its own entry is 0.0.0.0, because its Service's address is not on
/// its interfaces. A single server has no ensemble.
fn zoo_cfg(ensemble: &[String], own: u64) -> String {
    let mut text = format!(
        "clientPort={ZOOKEEPER_PORT}\ndataDir=/var/lib/zookeeper/data\ndataLogDir=/var/lib/zookeeper/log\ntickTime=2000\ninitLimit=10\nsyncLimit=5\nautopurge.snapRetainCount=3\nautopurge.purgeInterval=1\n",
    );
    if ensemble.len() > 1 {
        for (i, host) in (0..).zip(ensemble) {
            let host = if i == own { "0.0.0.0" } else { host };
            text.push_str(&format!("server.{}={host}:2888:3888\n", i + 1));
        }
    }
    text
}
