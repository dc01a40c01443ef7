//! The package of a chaincode that runs as a server.

use crate::error::Result;
use crate::ledger::chaincode_package::{Code, Connection, Package};
use std::collections::BTreeMap;

/// Packs the address of the server, such as `basic:9999`, with indexes for CouchDB.
///
/// The package is the same for every organization and image, because each organization has a
/// Service of the same name in the namespace of its peers. Therefore a new image needs no new
/// approval.
pub fn package(label: &str, address: &str, indexes: &BTreeMap<String, Vec<u8>>) -> Result<Package> {
    Package::new(label, &Code::Ccaas(connection(address.to_owned())), indexes)
}

/// Returns the connection to a server without TLS.
pub fn connection(address: String) -> Connection {
    Connection {
        address,
        dial_timeout: "10s".to_owned(),
        tls_required: false,
        client_auth_required: false,
        client_key: String::new(),
        client_cert: String::new(),
        root_cert: String::new(),
    }
}
