//! The ports of nodes and of programs next to them: the defaults of Fabric's sampleconfig,
//! fabric-ca-server, CouchDB, Kafka and ZooKeeper.

pub const ORDERER_PORT: u64 = 7050;
pub const PEER_PORT: u64 = 7051;
/// The port at which a peer listens for the chaincode that it started.
pub const CHAINCODE_PORT: u64 = 7052;
pub const CA_PORT: u64 = 7054;
pub const COUCHDB_PORT: u64 = 5984;
pub const KAFKA_PORT: u64 = 9092;
pub const ZOOKEEPER_PORT: u64 = 2181;
