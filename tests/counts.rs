//! What planning and rendering cost, counted: allocations, and instructions where valgrind is
//! installed.

#[path = "support/counts.rs"]
mod counts;
#[path = "support/peers.rs"]
mod peers;

use kubectl_fabric::chart::{Chart, Origin};
use kubectl_fabric::compose::{Given, compose};
use kubectl_fabric::manifest::{Object, Sealed};
use kubectl_fabric::plan::ownership::Owner;
use kubectl_fabric::plan::{self, Action, Inputs, Live, Look, Plan, Seen};
use kubectl_fabric::render::Capabilities;
use kubectl_fabric::values;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::Write;
use std::process::Command;
use std::sync::Arc;

fn rendered(chart: &Chart) -> Vec<Object> {
    let given = Given {
        chart,
        release: "org1",
        namespace: "org1",
        user_values: values::Values::default(),
        defaults: None,
        fabric_version: None,
        skip_schema_validation: false,
        stored_secrets: Default::default(),
    };
    let capabilities = Capabilities {
        kube_version: "v1.36.3".to_owned(),
        api_versions: Vec::new(),
    };
    compose(given)
        .expect("the values fit")
        .render(1, false, capabilities, None)
        .expect("the chart renders")
        .objects
}

fn owner() -> Owner {
    Owner {
        release: "org1".to_owned(),
        namespace: "org1".to_owned(),
    }
}

/// An object as it is live after we applied it.
fn live(object: &Object) -> Value {
    let mut body = object.body.clone();
    let fields = fields(&body);
    body["metadata"]["uid"] = json!("6f1c2f0e-9f0c-4a55-8f0e-000000000000");
    body["metadata"]["managedFields"] =
        json!([{"manager": "kubectl-fabric", "operation": "Apply", "fieldsV1": fields}]);
    body
}

fn fields(value: &Value) -> Value {
    let entries = value.as_object().into_iter().flatten();
    Value::Object(
        entries
            .map(|(name, value)| (format!("f:{name}"), fields(value)))
            .collect::<Map<_, _>>(),
    )
}

/// What an upgrade that changes nothing decides.
fn planned(wanted: Vec<Arc<Sealed>>, live: Vec<Value>) -> Plan {
    let seen: Live = wanted
        .iter()
        .zip(live)
        .map(|(object, body)| {
            (
                object.key.clone(),
                Seen::new(Some(object), body, Look::default()),
            )
        })
        .collect();
    let inputs = Inputs {
        wanted,
        live: seen,
        inventory: &[],
        hooks: Vec::new(),
        events: &[],
        confined: &[],
        owner: &owner(),
        take_ownership: false,
    };
    plan::make(inputs).expect("all is ours")
}

#[test]
fn planning_allocates_no_more_than_is_recorded() {
    let chart = Chart::from_files(peers::files(200), Origin::Path("peers".to_owned()), "peers")
        .expect("the chart is whole");
    let (wanted, bodies) = rendered(&chart)
        .into_iter()
        .map(|mut object| {
            owner().mark(&mut object.body);
            let body = live(&object);
            (Arc::new(object.into()), body)
        })
        .unzip();
    let mut plan = Plan::default();
    let planning = allocation_counter::measure(|| plan = planned(wanted, bodies));
    assert_eq!(plan.count(Action::Unchanged), 1000);
    let counted = [
        ("count", planning.count_total),
        ("bytes", planning.bytes_total),
        ("peak", planning.bytes_max),
    ];
    counts::compare("allocations: plan 1,000 objects", &counted);
}

/// `template` from its start to its end, in the build that tests use. Another compiler makes other
/// instructions of the same program, so only counts of the recorded one are compared.
#[test]
fn template_takes_no_more_instructions_than_is_recorded() {
    let valgrind = Command::new("valgrind").arg("--version").output();
    if !valgrind.is_ok_and(|output| output.status.success()) {
        // Straight to the terminal: the harness hides what passing tests print.
        writeln!(
            std::io::stderr(),
            "skipped: valgrind is not installed, so instructions cannot be counted"
        )
        .expect("a terminal");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, content) in peers::files(20) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("below the folder"))
            .expect("a folder for the chart");
        fs::write(path, content).expect("a file of the chart");
    }
    let mut command = Command::new("valgrind");
    command.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        env!("CARGO_BIN_EXE_kubectl-fabric"),
        "template",
        "org1",
    ]);
    command
        .arg("--chart")
        .arg(folder.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command
        .env("HOME", folder.path())
        .output()
        .expect("valgrind runs");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    let line = report
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .expect("callgrind tells what it collected")
        .1;
    let instructions = line.trim().parse().expect("a number");
    counts::compare(
        &format!("instructions: template 100 objects, {}", build()),
        &[("count", instructions)],
    );
}

/// The compiler, and for what.
fn build() -> String {
    let output = Command::new("rustc")
        .arg("--version")
        .output()
        .expect("rustc is there where tests are built");
    let version = String::from_utf8_lossy(&output.stdout);
    format!(
        "{} for {}",
        version.split(" (").next().unwrap_or_default(),
        std::env::consts::ARCH
    )
}
