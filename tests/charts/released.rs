//! Released charts never change, and all charts share their macros.

use super::*;

#[test]
fn every_chart_shares_its_macros() {
    let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts");
    let text = |name: &str| {
        fs::read_to_string(charts.join(name).join("0.1.0/templates/_helpers.jinja")).unwrap()
    };
    assert_eq!(text("peer-org"), text("orderer-org"));
    assert_eq!(text("peer-org"), text("kafka"));
    assert_eq!(text("peer-org"), text("chaincode"));
}

/// charts/released.txt against the charts there are: the complaints.
fn unlike_released(released: &str, embedded: &[(&str, &str, &str)]) -> Vec<String> {
    let lines = released
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, version, digest] = words[..] else {
                return Some(format!("not \"name version digest\": {line}"));
            };
            match embedded
                .iter()
                .find(|chart| (chart.0, chart.1) == (name, version))
            {
                None => Some(format!("{name} {version} was released and is gone")),
                Some(chart) if chart.2 != digest => {
                    Some(format!("{name} {version} was released and has changed"))
                }
                Some(_) => None,
            }
        })
        .collect()
}

#[test]
fn a_released_chart_never_changes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/released.txt");
    assert_eq!(
        unlike_released(&fs::read_to_string(path).unwrap(), repository::embedded()),
        Vec::<String>::new()
    );

    let embedded = [("a", "0.1.0", "1234"), ("b", "0.1.0", "5678")];
    assert!(unlike_released("# nothing yet\n\na 0.1.0 1234\n", &embedded).is_empty());
    assert_eq!(
        unlike_released("a 0.1.0 9999\nb 0.2.0 5678\nb\n", &embedded),
        [
            "a 0.1.0 was released and has changed",
            "b 0.2.0 was released and is gone",
            "not \"name version digest\": b"
        ]
    );
}
