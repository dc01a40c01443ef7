//! Where a node's Service is reached.

use serde_json::Value;

/// `peer0.org1:7051`
pub(super) fn address(service: &Value) -> String {
    let text = |field: &str| {
        service["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let port = service["spec"]["ports"][0]["port"]
        .as_u64()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}.{}{port}", text("name"), text("namespace"))
}

/// The address outside of the cluster, from a load balancer.
pub(super) fn external(service: &Value) -> Option<String> {
    let ingress = service.pointer("/status/loadBalancer/ingress/0")?;
    let host = ingress["hostname"].as_str().or(ingress["ip"].as_str())?;
    Some(format!(
        "{host}:{}",
        service["spec"]["ports"][0]["port"].as_u64()?
    ))
}
