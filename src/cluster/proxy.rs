//! Selects the proxy for the API server: the cluster's own, or the environment's unless it excludes
//! this host.
//!
//! The rules are those of Go's `net/http` (golang.org/x/net/http/httpproxy), which kubectl uses.

use super::{kubeconfig::Environment, overrides::wrong_port};
use crate::error::{Error, Place, Result};
use http::Uri;
use std::net::IpAddr;

/// Returns the proxy for `server`, in a form that the client library supports. `proxy_url` is the
/// `proxy-url` of the kubeconfig's cluster, which applies regardless of NO_PROXY.
pub(super) fn choose(
    proxy_url: Option<&str>,
    server: &Uri,
    environment: Environment,
) -> Result<Option<Uri>> {
    if let Some(url) = proxy_url.filter(|url| !url.is_empty()) {
        return parse(
            url,
            Place::new("kubeconfig").note("the cluster's proxy-url"),
        )
        .map(Some);
    }
    let variables = match server.scheme_str() {
        Some("http") => ["HTTP_PROXY", "http_proxy"],
        _ => ["HTTPS_PROXY", "https_proxy"],
    };
    let read = |name: &str| {
        environment(name)
            .and_then(|value| value.into_string().ok())
            .filter(|value| !value.is_empty())
    };
    let Some((name, url)) = variables
        .into_iter()
        .find_map(|name| read(name).map(|url| (name, url)))
    else {
        return Ok(None);
    };
    let exceptions = read("NO_PROXY")
        .or_else(|| read("no_proxy"))
        .unwrap_or_default();
    let host = server
        .host()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let port = server
        .port_u16()
        .unwrap_or(if server.scheme_str() == Some("http") {
            80
        } else {
            443
        });
    match is_local(host) || leaves_out(&exceptions, host, port) {
        true => Ok(None),
        false => parse(&url, Place::new(format!("${name}"))).map(Some),
    }
}

fn parse(url: &str, place: Place) -> Result<Uri> {
    let with_scheme = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    // The client library resolves names at the proxy for both schemes, as socks5h requires, but
    // knows only socks5.
    let with_scheme = with_scheme.replacen("socks5h://", "socks5://", 1);
    let wrong = |why: String| {
        Error::user("the proxy to the cluster is not a valid URL")
            .at(place.clone())
            .why(why)
            .hint(
                "expected a URL such as http://proxy.example.com:3128, https://... or socks5://...",
            )
    };
    let uri: Uri = with_scheme
        .parse()
        .map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https" | "socks5"), Some(host)) if !host.is_empty() => {
            match wrong_port(&uri) {
                Some(why) => Err(wrong(why)),
                None => Ok(uri),
            }
        }
        (Some("http" | "https" | "socks5"), _) => Err(wrong("it has no host".to_owned())),
        (scheme, _) => Err(wrong(format!(
            "unknown kind of proxy \"{}\"",
            scheme.unwrap_or_default()
        ))),
    }
}

/// Returns true for this computer, which is never reached through the environment's proxy.
fn is_local(host: &str) -> bool {
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns true if NO_PROXY contains this host: as `*`, an address, a CIDR, or a domain, which
/// includes its subdomains (only these if it begins with a dot). All but a CIDR may have a port.
fn leaves_out(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    list.split(',')
        .map(|entry| entry.trim().to_lowercase())
        .filter(|entry| !entry.is_empty())
        .any(|entry| {
            if entry == "*" {
                return true;
            }
            if let Some((network, bits)) = entry.split_once('/') {
                return match (network.parse(), bits.parse(), address) {
                    (Ok(network), Ok(bits), Some(address)) => contains(network, bits, address),
                    _ => false,
                };
            }
            let (name, wanted) = split_port(&entry);
            if wanted.is_some_and(|wanted| wanted != port) {
                return false;
            }
            match (
                name.trim_start_matches('[')
                    .trim_end_matches(']')
                    .parse::<IpAddr>(),
                address,
            ) {
                (Ok(named), Some(address)) => named == address,
                (Ok(_), None) | (Err(_), Some(_)) => false,
                (Err(_), None) => match name.strip_prefix('*').unwrap_or(name).strip_prefix('.') {
                    Some(domain) => host
                        .strip_suffix(domain)
                        .is_some_and(|rest| rest.ends_with('.')),
                    None => host
                        .strip_suffix(name)
                        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
                },
            }
        })
}

/// Splits `host:port` and `[::1]:port`. A bare IPv6 address has colons but no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn contains(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0)
    };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            same(network.to_bits().into(), address.to_bits().into(), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            same(network.to_bits(), address.to_bits(), 128)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: &str, proxy_url: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        let environment = |name: &str| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| value.into())
        };
        choose(proxy_url, &server.parse().unwrap(), &environment)
            .unwrap()
            .map(|uri| uri.to_string())
    }

    #[test]
    fn no_proxy_is_matched_against_the_clusters_host() {
        let cases = [
            ("api.example.com", "example.com", true),
            ("api.example.com", ".example.com", true),
            ("api.example.com", "*.example.com", true),
            ("example.com", ".example.com", false),
            ("example.com", "example.com", true),
            ("badexample.com", "example.com", false),
            ("API.Example.COM", "api.example.com", true),
            ("api.example.com", "other.com, ,api.example.com,", true),
            ("api.example.com", "*", true),
            ("api.example.com", "", false),
            ("api.example.com", ",", false),
            ("api.example.com", "api.example.com:6443", true),
            ("api.example.com", "api.example.com:443", false),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "0.0.0.0/0", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.3:6443", true),
            ("10.1.2.3", "1.2.3", false),
            ("10.1.2.3", "10.0.0.0/99", false),
            ("api.example.com", "10.0.0.0/8", false),
            ("fd00::1", "fd00::/8", true),
            ("fd00::1", "fd00::1", true),
            ("fd00::1", "[fd00::1]:6443", true),
            ("fd00::1", "fe00::/8", false),
        ];
        for (host, list, left_out) in cases {
            assert_eq!(leaves_out(list, host, 6443), left_out, "{host} in {list:?}");
        }
    }

    #[test]
    fn the_clusters_own_proxy_wins_and_ignores_no_proxy() {
        let variables = [("HTTPS_PROXY", "http://env:1"), ("NO_PROXY", "*")];
        let server = "https://api.example.com:6443";
        assert_eq!(
            chosen(server, Some("socks5h://own:2"), &variables).as_deref(),
            Some("socks5://own:2/")
        );
        assert_eq!(chosen(server, None, &variables), None);
        assert_eq!(
            chosen(server, None, &variables[..1]).as_deref(),
            Some("http://env:1/")
        );
        assert_eq!(chosen(server, Some(""), &[]), None);
    }

    #[test]
    fn the_environments_proxy_follows_the_scheme_and_spares_this_computer() {
        let variables = [("https_proxy", "env:1"), ("HTTP_PROXY", "http://plain:1")];
        assert_eq!(
            chosen("https://api.example.com", None, &variables).as_deref(),
            Some("http://env:1/")
        );
        assert_eq!(
            chosen("http://api.example.com", None, &variables).as_deref(),
            Some("http://plain:1/")
        );
        for local in [
            "https://localhost:6443",
            "https://127.0.0.1:6443",
            "https://[::1]:6443",
        ] {
            assert_eq!(chosen(local, None, &variables), None, "{local}");
        }
    }

    #[test]
    fn a_proxy_that_is_none_is_named_with_its_place() {
        let environment = |name: &str| (name == "HTTPS_PROXY").then(|| "ftp://proxy".into());
        let error = choose(
            None,
            &"https://api.example.com".parse().unwrap(),
            &environment,
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("$HTTPS_PROXY") && error.contains("ftp"),
            "{error}"
        );
        let error = choose(
            Some("proxy:99999"),
            &"https://a".parse().unwrap(),
            &environment,
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("ports go from 1 to 65535"), "{error}");
    }
}
