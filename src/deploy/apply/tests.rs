use super::prune::delete;
use super::*;
use crate::cluster::scripted::{Scripted, impatient};
use crate::deploy::{Lock, Options, recovery, scripted};
use crate::manifest::{Object, TemplateLine};
use serde_json::json;
use std::sync::Arc;

fn step(action: Action, kind: &str) -> Step {
    let metadata = json!({"name": "a", "namespace": "org1", "uid": "1"});
    let object = Object::from_body(
        json!({"apiVersion": "v1", "kind": kind, "metadata": metadata}),
        TemplateLine::default(),
    );
    let object = object.expect("an object");
    Step {
        key: object.key.clone(),
        api_version: "v1".into(),
        action,
        live: (action != Action::Create).then(|| object.body.clone()),
        wanted: (action != Action::Prune).then(|| Arc::new(object.into())),
        after: None,
        why: String::new(),
        volumes: None,
        theirs: Vec::new(),
    }
}

/// Recreating an object must not stop after the deletion, which would leave less than before.
#[tokio::test]
async fn a_run_that_is_to_stop_or_lost_its_lock_begins_no_write() {
    for (interrupted, loss) in [(true, None), (false, Some("someone took it"))] {
        let server = Scripted::start([]).await;
        let cluster = server.cluster(impatient()).await;
        let context = scripted::context(&cluster, interrupted);
        let (options, lock) = (Options::default(), Lock::scripted(&cluster, loss));
        let writer = Writer {
            context: &context,
            options: &options,
            lock: &lock,
        };
        let mut monitor = Monitor::new(&cluster, context.progress, context.interrupted.clone());
        for action in [Action::Create, Action::Change, Action::Recreate] {
            assert!(
                write(&writer, &step(action, "ConfigMap"), &mut monitor)
                    .await
                    .is_err(),
                "{action:?}"
            );
        }
        assert!(
            delete(&writer, &step(Action::Prune, "ConfigMap"))
                .await
                .is_err()
        );
        recovery::clean_up(
            &writer,
            &[(&step(Action::Create, "ConfigMap"), "1".to_owned())],
        )
        .await;
        assert_eq!(server.lines(), Vec::<String>::new());
    }
}
