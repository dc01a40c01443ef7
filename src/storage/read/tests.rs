use super::*;
use crate::manifest::DOMAIN;
use serde_json::json;

#[test]
fn no_more_parts_are_asked_for_than_a_record_has() {
    let said = |said: &str| {
        parts(&json!({"metadata": {"annotations": {format!("{DOMAIN}/parts"): said}}}))
    };
    assert_eq!((said("1"), said("3"), said("many")), (Ok(1), Ok(3), Ok(1)));
    for wrong in ["0", "1000000", &usize::MAX.to_string()] {
        assert!(
            said(wrong).unwrap_err().to_string().contains("parts"),
            "{wrong}"
        );
    }
}
