//! Named connections to object stores: `CREATE CONNECTION lake WITH (type = 's3', …)`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;
use weir_base::{Options, parse_duration};

use super::network::Patience;
use crate::{Error, Result};

/// A connection as it is stored: its name, its kind, and its options with the secret ones among them.
///
/// `Debug` shows secrets as `***`; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionSpec {
    /// The connection's name.
    pub name: String,
    /// `s3`, `gcs`, `azure` or `http`.
    pub kind: String,
    /// All options but `type`, secrets included.
    pub options: BTreeMap<String, String>,
}

impl fmt::Debug for ConnectionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: BTreeMap<&str, &str> = self
            .options
            .iter()
            .map(|(key, value)| match is_secret(key) {
                true => (key.as_str(), "***"),
                false => (key.as_str(), value.as_str()),
            })
            .collect();
        f.debug_struct("ConnectionSpec")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("options", &options)
            .finish()
    }
}

/// A connection's options after they were checked, with the secret ones kept apart.
#[derive(Clone, PartialEq, Eq)]
pub struct ValidConnection {
    /// `s3`, `gcs`, `azure` or `http`.
    pub kind: String,
    /// What may be shown.
    pub options: BTreeMap<String, String>,
    /// What must never be shown.
    pub secrets: BTreeMap<String, String>,
}

impl fmt::Debug for ValidConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidConnection")
            .field("kind", &self.kind)
            .field("options", &self.options)
            .field("secrets", &self.secrets.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Whether the value of this connection option must never be shown.
pub fn is_secret(option: &str) -> bool {
    let option = option.to_lowercase();
    matches!(
        option.as_str(),
        "secret_access_key"
            | "session_token"
            | "service_account_key"
            | "access_key"
            | "sas_token"
            | "client_secret"
            | "password"
            | "bearer_token"
    ) || option.starts_with("header.")
}

/// Checks the options of `CREATE CONNECTION name WITH (type = …, …)` without reaching out, and sets the secrets apart.
///
/// # Errors
/// An empty name, unknown options (with the nearest known one), values that do not parse, missing or contradicting credentials.
pub fn validate_connection(
    name: &str,
    options: impl IntoIterator<Item = (String, String)>,
) -> Result<ValidConnection> {
    if name.is_empty() {
        return Err(Error::invalid("a connection needs a name"));
    }
    let mut given: BTreeMap<String, String> = options
        .into_iter()
        .map(|(key, value)| (key.to_lowercase(), value))
        .collect();
    let kind: Kind = Options::new(given.remove_entry("type")).require("type")?;
    Target::parse(kind, &given)?;
    let (secrets, options) = given.into_iter().partition(|(key, _)| is_secret(key));
    Ok(ValidConnection {
        kind: kind.name().to_owned(),
        options,
        secrets,
    })
}

/// What kind of store a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    S3,
    Gcs,
    Azure,
    Http,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
            Self::Http => "http",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "s3" => Ok(Self::S3),
            "gcs" | "gs" => Ok(Self::Gcs),
            "azure" | "az" => Ok(Self::Azure),
            "http" | "https" => Ok(Self::Http),
            _ => Err(format!("{text:?} is not one of s3, gcs, azure, http")),
        }
    }
}

/// A connection with all its options read.
pub(crate) struct Target {
    pub(crate) store: Store,
    pub(crate) patience: Patience,
    pub(crate) ca_certificate: Option<String>,
}

pub(crate) enum Store {
    S3(S3),
    Gcs(Gcs),
    Azure(Azure),
    Http(Http),
}

pub(crate) struct S3 {
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<Url>,
    pub(crate) virtual_hosted_style: Option<bool>,
    pub(crate) access: Access<S3Keys>,
}

pub(crate) struct S3Keys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
}

pub(crate) struct Gcs {
    pub(crate) endpoint: Option<Url>,
    /// The service account's key file, JSON.
    pub(crate) access: Access<String>,
}

pub(crate) struct Azure {
    pub(crate) account: String,
    pub(crate) endpoint: Option<Url>,
    pub(crate) access: Access<AzureKeys>,
}

pub(crate) enum AzureKeys {
    AccessKey(String),
    SasToken(String),
    Client {
        id: String,
        secret: String,
        tenant: String,
    },
}

pub(crate) struct Http {
    /// Only URLs below this one use the connection, so that its credentials go nowhere else.
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
}

/// How requests prove who sends them.
pub(crate) enum Access<K> {
    Keys(K),
    /// The keys that the server's own environment gives.
    Environment,
    Anonymous,
}

impl Target {
    pub(crate) fn of(spec: &ConnectionSpec) -> Result<Self> {
        let kind = Options::new([("type".to_owned(), spec.kind.clone())]).require("type")?;
        Self::parse(kind, &spec.options)
    }

    fn parse(kind: Kind, given: &BTreeMap<String, String>) -> Result<Self> {
        let mut options = Options::new(given.clone());
        let patience = take_patience(&mut options)?;
        let ca_certificate = options.take::<String>("ca_certificate")?;
        let store = match kind {
            Kind::S3 => Store::S3(S3::take(&mut options)?),
            Kind::Gcs => Store::Gcs(Gcs::take(&mut options)?),
            Kind::Azure => Store::Azure(Azure::take(&mut options)?),
            Kind::Http => Store::Http(Http::take(&mut options)?),
        };
        options.finish()?;
        Ok(Self {
            store,
            patience,
            ca_certificate,
        })
    }
}

impl S3 {
    fn take(options: &mut Options) -> Result<Self> {
        let access_key_id = options.take("access_key_id")?;
        let secret_access_key = options.take("secret_access_key")?;
        let session_token = options.take("session_token")?;
        let keys = match (access_key_id, secret_access_key) {
            (Some(access_key_id), Some(secret_access_key)) => Some(S3Keys {
                access_key_id,
                secret_access_key,
                session_token,
            }),
            (None, None) => None,
            (Some(_), None) => return Err(missing("secret_access_key")),
            (None, Some(_)) => return Err(missing("access_key_id")),
        };
        Ok(Self {
            region: options.take("region")?,
            endpoint: take_url(options, "endpoint")?,
            virtual_hosted_style: options.take("virtual_hosted_style")?,
            access: take_access(options, keys, "access_key_id and secret_access_key")?,
        })
    }
}

impl Gcs {
    fn take(options: &mut Options) -> Result<Self> {
        let key = options.take::<String>("service_account_key")?;
        if let Some(key) = &key
            && serde_json::from_str::<serde::de::IgnoredAny>(key).is_err()
        {
            return Err(Error::invalid(
                "option \"service_account_key\": not JSON: give the content of the key file",
            ));
        }
        Ok(Self {
            endpoint: take_url(options, "endpoint")?,
            access: take_access(options, key, "service_account_key")?,
        })
    }
}

impl Azure {
    fn take(options: &mut Options) -> Result<Self> {
        let account = options.require("account")?;
        let access_key = options.take("access_key")?;
        let sas_token = options.take("sas_token")?;
        let client_id = options.take("client_id")?;
        let client_secret = options.take("client_secret")?;
        let tenant_id = options.take("tenant_id")?;
        let client = match (client_id, client_secret, tenant_id) {
            (Some(id), Some(secret), Some(tenant)) => {
                Some(AzureKeys::Client { id, secret, tenant })
            }
            (None, None, None) => None,
            _ => {
                return Err(Error::invalid(
                    "options \"client_id\", \"client_secret\" and \"tenant_id\" belong together: give all three",
                ));
            }
        };
        let mut keys = [
            access_key.map(AzureKeys::AccessKey),
            sas_token.map(AzureKeys::SasToken),
            client,
        ]
        .into_iter()
        .flatten();
        let key = keys.next();
        if keys.next().is_some() {
            return Err(Error::invalid(
                "give one of \"access_key\", \"sas_token\" and \"client_id\", not several",
            ));
        }
        Ok(Self {
            account,
            endpoint: take_url(options, "endpoint")?,
            access: take_access(options, key, "access_key, sas_token or client_id")?,
        })
    }
}

impl Http {
    fn take(options: &mut Options) -> Result<Self> {
        let url = take_url(options, "url")?.ok_or_else(|| missing("url"))?;
        let username = options.take::<String>("username")?;
        let password = options.take::<String>("password")?;
        let bearer_token = options.take::<String>("bearer_token")?;
        let authorization = match (username, password, bearer_token) {
            (None, None, None) => None,
            (None, None, Some(token)) => Some(format!("Bearer {token}")),
            (Some(name), password, None) => Some(basic(&name, password.as_deref().unwrap_or(""))),
            (None, Some(_), None) => return Err(missing("username")),
            _ => {
                return Err(Error::invalid(
                    "give \"bearer_token\" or \"username\" and \"password\", not both",
                ));
            }
        };
        let mut headers = HeaderMap::new();
        let mut insert = |name: &str, option: &str, value: &str| {
            let bad = || Error::invalid(format!("option {option:?}: not a valid HTTP header"));
            let name: HeaderName = name.parse().map_err(|_| bad())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(name, value);
            Ok::<_, Error>(())
        };
        if let Some(value) = authorization {
            insert(AUTHORIZATION.as_str(), "bearer_token", &value)?;
        }
        for (name, value) in options.take_prefixed("header.") {
            insert(&name, &format!("header.{name}"), &value)?;
        }
        Ok(Self { url, headers })
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn missing(option: &str) -> Error {
    weir_base::OptionError::Missing(option.to_owned()).into()
}

fn take_access<K>(options: &mut Options, keys: Option<K>, names: &str) -> Result<Access<K>> {
    let anonymous = options.take::<bool>("anonymous")?.unwrap_or(false);
    let credentials = options.take::<Credentials>("credentials")?;
    match (keys, credentials, anonymous) {
        (Some(keys), None, false) => Ok(Access::Keys(keys)),
        (None, Some(Credentials::Environment), false) => Ok(Access::Environment),
        (None, None, true) => Ok(Access::Anonymous),
        (None, None, false) => Err(Error::invalid(format!("the connection has no credentials: give {names}"))
            .with_hint("or anonymous = 'true' for public data, or credentials = 'environment' for those of the server")),
        _ => Err(Error::invalid(format!(
            "give one of {names}, \"credentials\" and \"anonymous\", not several"
        ))),
    }
}

enum Credentials {
    Environment,
}

impl FromStr for Credentials {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "environment" => Ok(Self::Environment),
            _ => Err(format!("{text:?} is not \"environment\"")),
        }
    }
}

fn take_url(options: &mut Options, key: &str) -> Result<Option<Url>> {
    let Some(url) = options.take::<Url>(key)? else {
        return Ok(None);
    };
    let bad = |why: &str| Err(Error::invalid(format!("option {key:?}: {why}")));
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return bad("not an http:// or https:// URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return bad("a URL must hold no credentials; give them as options of their own");
    }
    Ok(Some(url))
}

fn take_patience(options: &mut Options) -> Result<Patience> {
    let standard = Patience::default();
    let mut span = |key: &str, standard: Duration| -> Result<Duration> {
        Ok(options.take::<Span>(key)?.map_or(standard, |span| span.0))
    };
    Ok(Patience {
        connect_timeout: span("connect_timeout", standard.connect_timeout)?,
        request_timeout: span("request_timeout", standard.request_timeout)?,
        retry_timeout: span("retry_timeout", standard.retry_timeout)?,
        max_retries: options.take("max_retries")?.unwrap_or(standard.max_retries),
    })
}

struct Span(Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parse_duration(text)? {
            Duration::ZERO => Err("must be more than zero".to_owned()),
            span => Ok(Self(span)),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_base::Classify;

    use super::*;

    fn validate(pairs: &[(&str, &str)]) -> Result<ValidConnection> {
        validate_connection(
            "lake",
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn secrets_are_set_apart_and_never_printed() {
        let valid = validate(&[
            ("TYPE", "S3"),
            ("region", "eu-west-1"),
            ("access_key_id", "AKIA"),
            ("Secret_Access_Key", "hush"),
            ("request_timeout", "2s"),
        ])
        .unwrap();
        assert_eq!(valid.kind, "s3");
        assert_eq!(
            valid.options.keys().collect::<Vec<_>>(),
            ["access_key_id", "region", "request_timeout"]
        );
        assert_eq!(
            valid.secrets.keys().collect::<Vec<_>>(),
            ["secret_access_key"]
        );
        assert!(!format!("{valid:?}").contains("hush"));
        let spec = ConnectionSpec {
            name: "lake".into(),
            kind: valid.kind,
            options: valid.options.into_iter().chain(valid.secrets).collect(),
        };
        assert!(Target::of(&spec).is_ok());
        assert!(!format!("{spec:?}").contains("hush"));
    }

    #[test]
    fn options_are_checked() {
        for (pairs, message, hint) in [
            (&[("region", "x")][..], "option \"type\" is required", None),
            (
                &[("type", "ftp")],
                "option \"type\": \"ftp\" is not one of s3, gcs, azure, http",
                None,
            ),
            (
                &[("type", "s3"), ("anonymous", "true"), ("regoin", "x")],
                "unknown option \"regoin\"",
                Some("did you mean \"region\"?"),
            ),
            (
                &[("type", "s3"), ("access_key_id", "x")],
                "option \"secret_access_key\" is required",
                None,
            ),
            (
                &[
                    ("type", "s3"),
                    ("anonymous", "true"),
                    ("endpoint", "ftp://x"),
                ],
                "option \"endpoint\": not an http:// or https:// URL",
                None,
            ),
            (
                &[("type", "http"), ("url", "https://u:p@x/")],
                "option \"url\": a URL must hold no credentials; give them as options of their own",
                None,
            ),
            (
                &[
                    ("type", "http"),
                    ("url", "https://x/"),
                    ("header.bad name", "v"),
                ],
                "option \"header.bad name\": not a valid HTTP header",
                None,
            ),
            (
                &[("type", "azure"), ("account", "a"), ("client_id", "x")],
                "options \"client_id\", \"client_secret\" and \"tenant_id\" belong together: give all three",
                None,
            ),
            (
                &[("type", "gcs"), ("service_account_key", "{oops")],
                "option \"service_account_key\": not JSON: give the content of the key file",
                None,
            ),
        ] {
            let error = validate(pairs).unwrap_err();
            assert_eq!(error.to_string(), message);
            if let Some(hint) = hint {
                assert_eq!(error.hint().as_deref(), Some(hint));
            }
        }
        assert!(
            validate(&[("type", "s3")])
                .unwrap_err()
                .hint()
                .unwrap()
                .contains("anonymous")
        );
        assert!(
            validate(&[
                ("type", "http"),
                ("url", "https://x/y/"),
                ("bearer_token", "t")
            ])
            .is_ok()
        );
    }

    #[test]
    fn basic_credentials_are_encoded() {
        assert_eq!(basic("user", "pass"), "Basic dXNlcjpwYXNz");
    }
}
