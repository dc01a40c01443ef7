//! The HTTP client. Same as kube's default stack, plus `TCP_NODELAY`, which kube has no option for,
//! and kubectl's rules for trust.

use super::{gate::Gated, trust};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri};
use hyper::rt::{Read, Write};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{
        self,
        connect::{
            Connection, HttpConnector,
            proxy::{SocksV5, Tunnel},
        },
    },
    rt::TokioExecutor,
};
use kube::{Client, Config, Error, client::ConfigExt};
use std::time::Duration;
use tower::{BoxError, Service, ServiceBuilder};
use tower_http::decompression::DecompressionLayer;

/// Timeout for a connection, after which a server counts as unreachable.
const CONNECT: Duration = Duration::from_secs(10);

/// Builds the client for a configuration, with its proxy, certificates and credentials.
///
/// # Errors
///
/// Fails if a certificate, key, token or password is invalid.
pub(super) fn build(config: Config) -> Result<Client, Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    // A handshake ends with two small packets, and the first request is a third. Nagle's algorithm
    // delays each until the previous one is acknowledged, and the other side delays the
    // acknowledgement by 40 ms. This would affect every connection.
    tcp.set_nodelay(true);
    match config.proxy_url.clone() {
        None => over(tcp, config),
        Some(proxy) if proxy.scheme_str() == Some("socks5") => {
            over(SocksV5::new(proxy, tcp), config)
        }
        Some(proxy) if proxy.scheme_str() == Some("https") => {
            over(tunnel(proxy, trust::connector(&config, tcp)?), config)
        }
        Some(proxy) => over(tunnel(proxy, tcp), config),
    }
}

/// Connects through an HTTP proxy with CONNECT, using the user and password in its URL.
fn tunnel<C>(proxy: Uri, connector: C) -> Tunnel<C> {
    let user = proxy
        .authority()
        .and_then(|authority| authority.as_str().rsplit_once('@'))
        .map(|(user, _)| user);
    let header = user.map(|user| {
        BASE64_STANDARD.encode(percent_encoding::percent_decode_str(user).collect::<Vec<u8>>())
    });
    let header = header.and_then(|user| HeaderValue::try_from(format!("Basic {user}")).ok());
    let tunnel = Tunnel::new(proxy, connector);
    match header {
        Some(header) => tunnel.with_auth(header),
        None => tunnel,
    }
}

fn over<C>(connector: C, config: Config) -> Result<Client, Error>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError> + Send + Sync + std::error::Error + 'static,
{
    let mut connector = TimeoutConnector::new(trust::connector(&config, connector)?);
    connector.set_connect_timeout(Some(CONNECT));
    let unpacked = DecompressionLayer::new().gzip(!config.disable_compression);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(unpacked)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .map_request(Gated::request)
        .service(legacy::Client::builder(TokioExecutor::new()).build::<_, Gated>(connector));
    Ok(Client::new(service, config.default_namespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Returns the first bytes that a client sends to a proxy with this scheme and user. The proxy
    /// answers the client's first message with `greeting`.
    async fn said_to_proxy(scheme: &str, user: &str, greeting: &[u8]) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::new("http://cluster.example:6443".parse().unwrap());
        config.proxy_url = Some(
            format!("{scheme}://{user}{}", listener.local_addr().unwrap())
                .parse()
                .unwrap(),
        );
        let client = build(config).unwrap();
        let asked = tokio::spawn(async move {
            client
                .request_text(http::Request::get("/version").body(Vec::new()).unwrap())
                .await
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = [0; 1024];
        let mut length = stream.read(&mut said).await.unwrap();
        if !greeting.is_empty() {
            stream.write_all(greeting).await.unwrap();
            length += stream.read(&mut said[length..]).await.unwrap();
        }
        drop(stream);
        assert!(asked.await.unwrap().is_err(), "the proxy hung up");
        said[..length].to_vec()
    }

    #[tokio::test]
    async fn an_http_proxy_is_asked_for_a_tunnel_with_the_user_of_its_url() {
        let said =
            String::from_utf8(said_to_proxy("http", "gate%40keeper:p%3Aw@", b"").await).unwrap();
        assert!(
            said.starts_with("CONNECT cluster.example:6443 HTTP/1.1\r\n"),
            "{said}"
        );
        let user = BASE64_STANDARD.encode("gate@keeper:p:w");
        assert!(
            said.lines().any(
                |line| line.eq_ignore_ascii_case(&format!("proxy-authorization: Basic {user}"))
            ),
            "{said}"
        );

        let said = String::from_utf8(said_to_proxy("http", "", b"").await).unwrap();
        assert!(!said.to_lowercase().contains("authorization"), "{said}");
    }

    #[tokio::test]
    async fn a_socks_proxy_resolves_the_name_of_the_server() {
        // RFC 1928: version 5 with one authentication method (none), then connect (1) to a name
        // (3).
        let said = said_to_proxy("socks5", "", &[5, 0]).await;
        let (greeting, request) = said.split_at(3);
        assert_eq!(greeting, [5, 1, 0]);
        assert_eq!(request[..4], [5, 1, 0, 3]);
        assert!(
            request.windows(15).any(|name| name == b"cluster.example"),
            "{request:?}"
        );
    }
}
