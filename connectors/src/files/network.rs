//! HTTP clients that do not reach into private networks.
//!
//! The check is made where a connection is made: names are resolved by [`PublicResolver`], which drops addresses that
//! are not public, so neither a name that changes its address nor a redirect gets past it. Addresses written as such
//! never reach a resolver, so [`GuardedClient`] and the redirect policy look at them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpResponse, HttpService,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;
use reqwest::redirect;
use url::{Host, Url};
use weir_base::Kind;

use super::policy::is_under_one;
use crate::{Error, Result};

/// How long requests may take and how often they are repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) connect_timeout: Duration,
    /// The longest silence of the other side, before its headers and between pieces of a body.
    pub(crate) request_timeout: Duration,
    pub(crate) max_retries: usize,
    pub(crate) retry_timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            max_retries: 3,
            retry_timeout: Duration::from_secs(60),
        }
    }
}

/// Makes the HTTP clients of object stores.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) allow_private_network: bool,
    pub(crate) patience: Patience,
    /// Where redirects may lead, see [`super::policy::FilePolicy::allow_locations`]; none allows all.
    pub(crate) allow_locations: Vec<String>,
    /// Sent with every request; its presence also keeps redirects on the same host.
    pub(crate) headers: HeaderMap,
    /// Whether requests are signed or carry credentials.
    pub(crate) credentials: bool,
    /// A certificate authority to trust besides the system's, in PEM.
    pub(crate) ca_certificate: Option<String>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("allow_private_network", &self.allow_private_network)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allow_http = options
            .get_config_value(&ClientConfigKey::AllowHttp)
            .as_deref()
            == Some("true");
        let client = self
            .client(allow_http)
            .map_err(|error| object_store::Error::Generic {
                store: "HTTP",
                source: Box::new(error),
            })?;
        Ok(HttpClient::new(GuardedClient {
            client,
            allow_private_network: self.allow_private_network,
        }))
    }
}

impl Connector {
    fn client(&self, allow_http: bool) -> Result<reqwest::Client> {
        let invalid = |error: reqwest::Error| {
            Error::invalid(format!(
                "the HTTP client cannot be set up: {}",
                error.without_url()
            ))
        };
        // Compression is off: it would hide the size of objects, and ranges count stored bytes.
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.patience.connect_timeout)
            .read_timeout(self.patience.request_timeout)
            .https_only(!allow_http)
            .default_headers(self.headers.clone())
            .redirect(self.redirects())
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate();
        if let Some(pem) = &self.ca_certificate {
            builder = builder.add_root_certificate(
                reqwest::Certificate::from_pem(pem.as_bytes()).map_err(invalid)?,
            );
        }
        if !self.allow_private_network {
            // A proxy would resolve names out of our sight.
            builder = builder.no_proxy().dns_resolver(Arc::new(PublicResolver));
        }
        builder.build().map_err(invalid)
    }

    fn redirects(&self) -> redirect::Policy {
        let (credentials, allow_private) = (self.credentials, self.allow_private_network);
        let allowed = self.allow_locations.clone();
        redirect::Policy::custom(move |attempt| {
            let denied = |why: &str| {
                Error::new(
                    Kind::Denied,
                    format!("the server redirects to {}, {why}", origin(attempt.url())),
                )
            };
            let Some(from) = attempt.previous().last().cloned() else {
                return attempt.stop();
            };
            let to = attempt.url().clone();
            if attempt.previous().len() > 5 {
                let error = Error::new(Kind::Unavailable, "the server redirects in circles");
                return attempt.error(error);
            }
            if from.scheme() == "https" && to.scheme() != "https" {
                let error = denied("which is not encrypted");
                return attempt.error(error);
            }
            if credentials && from.host() != to.host() {
                let error = denied("where the connection's credentials must not go");
                return attempt.error(error);
            }
            if !allowed.is_empty() && !is_under_one(&allowed, to.as_str()) {
                let error = denied("which is not below a location that this server may use");
                return attempt.error(error);
            }
            if !allow_private && let Err(error) = check_literal(&to) {
                return attempt.error(error);
            }
            attempt.follow()
        })
    }
}

/// Scheme and host of a URL: what may be told of it, without paths and queries that may hold secrets.
fn origin(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default())
}

#[derive(Debug, Clone)]
struct GuardedClient {
    client: reqwest::Client,
    allow_private_network: bool,
}

#[async_trait]
impl HttpService for GuardedClient {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let denied = |error: Error| HttpError::new(HttpErrorKind::Unknown, error);
        // The client behind parses the same text and panics where it is no URL.
        let url = Url::parse(&request.uri().to_string())
            .map_err(|_| denied(Error::invalid("the location does not make a valid URL")))?;
        if !self.allow_private_network {
            check_literal(&url).map_err(denied)?;
        }
        // What the guard refused is not a failure of the connection, and must not be tried again.
        HttpService::call(&self.client, request)
            .await
            .map_err(|error| match Error::find(&error) {
                Some(ours) => HttpError::new(HttpErrorKind::Unknown, ours.retell()),
                None => error,
            })
    }
}

/// Refuses a URL whose host is written as an address that is not public.
pub(crate) fn check_literal(url: &Url) -> Result<()> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) => return Ok(()),
        None => return Err(Error::invalid("the URL names no host")),
    };
    if is_public(address) {
        return Ok(());
    }
    Err(private_address(&address.to_string()))
}

fn private_address(host: &str) -> Error {
    Error::new(
        Kind::Denied,
        format!("{host} is not an address of the public internet"),
    )
    .with_hint("the operator allows private networks with --set allow_private_network=true")
}

/// Resolves names to public addresses only.
#[derive(Debug)]
struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| is_public(address.ip()))
                .collect();
            if public.is_empty() && !found.is_empty() {
                return Err(Box::new(private_address(name.as_str())) as _);
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is of the public internet, by IANA's special-purpose address registries (RFC 6890).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224.., ..)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Mapped IPv4, and IPv4 behind a NAT64 gateway.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            embedded(high, low)
        }
        // 6to4.
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, benchmarks, ORCHID and other protocol assignments; documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // The rest of what is given out for global use; all else is local, multicast or reserved.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use object_store::client::HttpRequestBody;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use weir_base::Classify;

    use super::*;

    #[test]
    fn public_addresses_are_told_from_all_others() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "100::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    fn connector(allow_private_network: bool) -> Connector {
        Connector {
            allow_private_network,
            patience: Patience::default(),
            allow_locations: Vec::new(),
            headers: HeaderMap::new(),
            credentials: false,
            ca_certificate: None,
        }
    }

    async fn get(allow_private_network: bool, url: &str) -> std::result::Result<u16, HttpError> {
        let client = connector(allow_private_network)
            .connect(&ClientOptions::new().with_allow_http(true))
            .unwrap();
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.parse().unwrap();
        Ok(client.execute(request).await?.status().as_u16())
    }

    /// A server that answers every request with `answer`; gives its port.
    async fn server(answer: String) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        port
    }

    #[tokio::test]
    async fn loopback_is_reached_only_when_allowed() {
        let port =
            server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into())
                .await;
        assert_eq!(
            get(true, &format!("http://127.0.0.1:{port}/"))
                .await
                .unwrap(),
            200
        );
        // Written as an address, as a name, as an odd spelling of the address, as its IPv6 forms.
        for host in [
            "127.0.0.1",
            "localhost",
            "2130706433",
            "0x7f.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            let error = get(false, &format!("http://{host}:{port}/"))
                .await
                .unwrap_err();
            let ours = Error::find(&error).unwrap_or_else(|| panic!("{host}: {error:?}"));
            assert_eq!(ours.kind(), Kind::Denied, "{host}");
            assert_eq!(
                error.kind(),
                HttpErrorKind::Unknown,
                "{host} would be tried again"
            );
        }
    }

    #[tokio::test]
    async fn a_redirect_to_a_private_address_is_refused() {
        let inner =
            server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into())
                .await;
        let redirect = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{inner}/secret?token=x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let outer = server(redirect).await;
        // The outer server stands for one on the internet: its client may reach it, and then only follows redirects.
        let guarded = connector(false);
        let client = reqwest::Client::builder()
            .redirect(guarded.redirects())
            .no_proxy()
            .build()
            .unwrap();
        let error = client
            .get(format!("http://127.0.0.1:{outer}/"))
            .send()
            .await
            .unwrap_err();
        let ours = Error::find(&error).unwrap();
        assert_eq!(ours.kind(), Kind::Denied);
        assert!(!ours.to_string().contains("token"));
    }
}
