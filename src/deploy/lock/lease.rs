//! The Lease of a release: its content, and how to recognize one's own writes when reading it.

use super::observer::Version;
use super::run_file::random_run;
use crate::manifest::{ObjectKey, annotation};
use jiff::Timestamp;
use serde_json::{Value, json};

pub const API_VERSION: &str = "coordination.k8s.io/v1";
const RUN: &str = "kubectl-fabric.io/run";
const OPERATION: &str = "kubectl-fabric.io/operation";

/// This run as the holder in a Lease.
#[derive(Clone, Debug)]
pub struct Holder {
    pub user: String,
    pub host: String,
    pub pid: u32,
    pub operation: String,
    /// Unique among all runs. Also the name of the run's file, if there is one.
    pub run: String,
}

impl Holder {
    /// `run` is the name of the run's file, if there is one.
    pub fn this_process(user: &str, operation: &str, run: Option<&str>) -> Holder {
        Holder {
            user: user.to_owned(),
            host: host_name(),
            pid: std::process::id(),
            operation: operation.to_owned(),
            run: run.map_or_else(random_run, str::to_owned),
        }
    }

    fn identity(&self) -> String {
        format!("{}@{} (process {})", self.user, self.host, self.pid)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the system exposes its host name in a file"
)]
fn host_name() -> String {
    let read = |path| {
        std::fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    read("/proc/sys/kernel/hostname")
        .or_else(|| read("/etc/hostname"))
        .unwrap_or_else(|| "unknown host".to_owned())
}

pub fn key(namespace: &str, release: &str) -> ObjectKey {
    ObjectKey {
        group: "coordination.k8s.io".into(),
        kind: "Lease".into(),
        namespace: Some(namespace.into()),
        name: format!("kubectl-fabric.{release}"),
    }
}

/// Returns a Lease. Its duration is only for people: no run uses it, because anyone may have
/// written it.
pub fn body(key: &ObjectKey, release: &str, holder: &Holder, now: Timestamp) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "Lease",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {"app.kubernetes.io/managed-by": "kubectl-fabric", "kubectl-fabric.io/release": release},
            "annotations": {OPERATION: holder.operation, RUN: holder.run},
        },
        "spec": {
            "holderIdentity": holder.identity(),
            "leaseDurationSeconds": super::EXPIRY.as_secs(),
            "acquireTime": micro_time(now),
            "renewTime": micro_time(now),
        },
    })
}

/// Formats a time as Kubernetes' MicroTime: RFC 3339 with six digits.
pub fn micro_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

pub fn run(lease: &Value) -> &str {
    annotation(lease, RUN).unwrap_or_default()
}

pub fn holder(lease: &Value) -> &str {
    lease["spec"]["holderIdentity"]
        .as_str()
        .unwrap_or("another run")
}

pub fn operation(lease: &Value) -> &str {
    annotation(lease, OPERATION).unwrap_or("operation")
}

pub fn version(lease: &Value) -> Version {
    let text = |field: &str| {
        lease["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (text("uid"), text("resourceVersion"))
}

/// A holder's writes of its Lease, to distinguish them from others' writes.
pub struct Written {
    /// The last known version of the Lease.
    pub lease: Value,
    /// The renewTime of that version, and of all later renewals whose response was lost.
    times: Vec<String>,
}

impl Written {
    pub fn new(lease: Value) -> Written {
        let times = vec![renew_time(&lease).to_owned()];
        Written { lease, times }
    }

    /// Sets the time of the next renewal.
    pub fn date(&mut self, time: String) {
        self.lease["spec"]["renewTime"] = time.clone().into();
        self.times.push(time);
    }

    /// Compares with the Lease on the server after a failed write.
    ///
    /// # Errors
    ///
    /// Returns how the lock was lost if someone else has written the Lease. A change of metadata,
    /// such as labels, is not a loss.
    pub fn read_back(&mut self, there: Option<Value>) -> Result<(), String> {
        let Some(there) = there else {
            return Err("its Lease was deleted".to_owned());
        };
        if run(&there) != run(&self.lease) {
            return Err(format!("{} has taken it over", holder(&there)));
        }
        if there["metadata"]["uid"] != self.lease["metadata"]["uid"] {
            return Err("its Lease was deleted and recreated".to_owned());
        }
        if !self.times.iter().any(|time| time == renew_time(&there))
            || undated(&there) != undated(&self.lease)
        {
            return Err("another writer has changed its Lease".to_owned());
        }
        self.lease = there;
        Ok(())
    }
}

fn renew_time(lease: &Value) -> &str {
    lease["spec"]["renewTime"].as_str().unwrap_or_default()
}

fn undated(lease: &Value) -> Value {
    let mut spec = lease["spec"].clone();
    spec["renewTime"] = Value::Null;
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Value {
        let holder = Holder {
            user: "ann".into(),
            host: "box".into(),
            pid: 7,
            operation: "upgrade".into(),
            run: "1".into(),
        };
        let mut lease = body(
            &key("org1", "org1"),
            "org1",
            &holder,
            "2026-01-01T00:00:00Z".parse().unwrap(),
        );
        lease["metadata"]["uid"] = "u".into();
        lease["metadata"]["resourceVersion"] = "1".into();
        lease
    }

    #[test]
    fn a_holder_tells_its_own_writes_from_those_of_others() {
        type Change = fn(&mut Value);
        let cases: [(Change, Result<(), &str>); 9] = [
            (|_| {}, Ok(())),
            (
                |lease| lease["spec"]["renewTime"] = "2026-01-01T00:00:03.000000Z".into(),
                Ok(()),
            ),
            (
                |lease| lease["metadata"]["labels"]["team"] = "a".into(),
                Ok(()),
            ),
            (
                |lease| lease["spec"]["renewTime"] = "2126-01-01T00:00:00.000000Z".into(),
                Err("another writer has changed"),
            ),
            (
                |lease| lease["spec"]["leaseDurationSeconds"] = 1_000_000.into(),
                Err("another writer has changed"),
            ),
            (
                |lease| lease["spec"]["holderIdentity"] = "eve".into(),
                Err("another writer has changed"),
            ),
            (
                |lease| lease["spec"] = Value::Null,
                Err("another writer has changed"),
            ),
            (
                |lease| lease["metadata"]["uid"] = "v".into(),
                Err("deleted and recreated"),
            ),
            (
                |lease| {
                    lease["metadata"]["annotations"][RUN] = "2".into();
                    lease["spec"]["holderIdentity"] = "bob@box (process 8)".into();
                },
                Err("bob@box (process 8) has taken it over"),
            ),
        ];
        for (index, (change, expected)) in cases.into_iter().enumerate() {
            let mut written = Written::new(lease());
            // A renewal whose response was lost.
            written.date("2026-01-01T00:00:03.000000Z".to_owned());
            let mut there = lease();
            there["metadata"]["resourceVersion"] = "2".into();
            change(&mut there);
            match (written.read_back(Some(there.clone())), expected) {
                (Ok(()), Ok(())) => assert_eq!(written.lease, there, "{index}"),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{index}: {why}"),
                (found, expected) => panic!("{index}: {found:?}, expected {expected:?}"),
            }
        }
        assert!(
            Written::new(lease())
                .read_back(None)
                .unwrap_err()
                .contains("deleted")
        );
    }
}
