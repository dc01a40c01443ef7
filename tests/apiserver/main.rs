//! Tests on a real API server, with real controllers and simulated nodes: one binary, a module per
//! subject.

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod agreement;
mod answers;
mod bad_input;
mod cases;
mod channels;
mod chaincode;
mod client;
mod confined;
mod counts;
mod data;
mod drift;
mod empty_keys;
mod fabric;
mod forwards;
mod governance;
mod guards;
mod harness;
mod hostile;
mod identities;
mod interruptions;
mod labels;
mod locks;
mod members;
mod nodes;
mod operations;
mod ownership;
mod pod_security;
mod post_renderer;
mod reasons;
mod release_tests;
mod rights;
mod secrets;
mod status;
mod system_channel;
mod tampered;
mod unserved;
mod up;
mod volumes;
