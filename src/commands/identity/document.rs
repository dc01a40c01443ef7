//! Formats an identity as a document and as text.

use crate::fabric::contact::Contact;
use crate::identity::inventory::{Found, Held, Kind};
use crate::terminal::time;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Days until a certificate ends; negative once it has ended.
pub fn days_left(end: Timestamp, now: Timestamp) -> i64 {
    (end.as_second() - now.as_second()).div_euclid(86_400)
}

pub fn document(contact: &Contact, held: &Held, now: Timestamp) -> Value {
    let mut document = json!({
        "name": held.name,
        "release": contact.release,
        "namespace": contact.namespace,
        "mspId": contact.msp_id,
        "whose": held.whose.to_string(),
        "type": held.kind.to_string(),
        "secret": held.secret,
    });
    match &held.content {
        Ok(Found {
            certificate,
            has_key,
            source,
        }) => {
            document["subject"] = json!(certificate.subject);
            document["units"] = json!(certificate.organizational_units());
            document["issuer"] = json!(certificate.issuer);
            document["notBefore"] = json!(time::rfc3339(certificate.not_before));
            document["notAfter"] = json!(time::rfc3339(certificate.not_after));
            document["daysLeft"] = json!(days_left(certificate.not_after, now));
            document["hosts"] = json!(certificate.hosts);
            document["fingerprint"] = json!(certificate.fingerprint());
            document["hasKey"] = json!(has_key);
            document["source"] = json!(source);
        }
        Err(why) => document["error"] = json!(why),
    }
    document
}

/// One identity, for people.
pub fn words(contact: &Contact, held: &Held, now: Timestamp) -> String {
    let mut text = format!(
        "{}: Secret {}/{}\n",
        match held.kind {
            Kind::Authority => "AUTHORITY",
            Kind::Msp => "MSP",
            Kind::Tls => "TLS",
        },
        contact.namespace,
        held.secret
    );
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<12} {value}\n"));
    let found = match &held.content {
        Ok(found) => found,
        Err(why) => {
            line("error", why);
            return text;
        }
    };
    let certificate = &found.certificate;
    let units = certificate.organizational_units();
    match units.is_empty() {
        true => line("subject", &certificate.subject),
        false => line(
            "subject",
            &format!("{} ({})", certificate.subject, units.join(", ")),
        ),
    }
    line("issuer", &certificate.issuer);
    line("valid from", &time::utc(certificate.not_before));
    let left = match days_left(certificate.not_after, now) {
        _ if certificate.not_after <= now => "expired".to_owned(),
        1 => "1 day left".to_owned(),
        days => format!("{days} days left"),
    };
    line(
        "valid until",
        &format!("{} ({left})", time::utc(certificate.not_after)),
    );
    if !certificate.hosts.is_empty() {
        line("hosts", &certificate.hosts.join(", "));
    }
    line("fingerprint", &certificate.fingerprint());
    let key = match found.has_key {
        true => "in the Secret",
        false => "not in the Secret",
    };
    line("private key", key);
    line(
        "source",
        found.source.as_deref().unwrap_or("your own Secret"),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_negative_after_the_end() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-22T12:00:00Z");
        for (end, days) in [
            ("2026-11-24T12:00:00Z", 2),
            ("2026-11-23T11:59:59Z", 0),
            ("2026-11-22T11:59:59Z", -1),
        ] {
            assert_eq!(days_left(at(end), now), days, "{end}");
        }
    }
}
