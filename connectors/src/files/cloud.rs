//! Object stores from connections.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use reqwest::header::HeaderMap;
use url::Url;

use super::connection::{Access, Azure, AzureKeys, Gcs, S3, Store, Target};
use super::network::{Connector, Patience};
use super::policy::FilePolicy;
use super::web::WebStore;
use crate::{Error, Result};

/// The store of a connection for one bucket, container or web server.
pub(crate) fn build(
    target: &Target,
    root: &str,
    policy: &FilePolicy,
) -> Result<Arc<dyn ObjectStore>> {
    let connector = Connector {
        allow_private_network: policy.allow_private_network,
        allow_locations: policy.allow_locations.clone(),
        patience: target.patience.clone(),
        headers: match &target.store {
            Store::Http(http) => http.headers.clone(),
            _ => HeaderMap::new(),
        },
        credentials: match &target.store {
            Store::S3(s3) => !matches!(s3.access, Access::Anonymous),
            Store::Gcs(gcs) => !matches!(gcs.access, Access::Anonymous),
            Store::Azure(azure) => !matches!(azure.access, Access::Anonymous),
            Store::Http(http) => !http.headers.is_empty(),
        },
        ca_certificate: target.ca_certificate.clone(),
    };
    let built = match &target.store {
        Store::S3(s3) => s3_store(s3, root, connector),
        Store::Gcs(gcs) => gcs_store(gcs, root, connector),
        Store::Azure(azure) => azure_store(azure, root, connector),
        Store::Http(_) => web_store(root, connector),
    };
    // What a builder says may quote the options it was given.
    built.map_err(|error| match Error::find(&error) {
        Some(ours) => ours.retell(),
        None => Error::invalid("the connection's options do not make a usable client")
            .with_hint("check that keys are complete and of the right kind"),
    })
}

/// A web server that needs no connection.
pub(crate) fn build_web(root: &str, policy: &FilePolicy) -> Result<Arc<dyn ObjectStore>> {
    let connector = Connector {
        allow_private_network: policy.allow_private_network,
        allow_locations: policy.allow_locations.clone(),
        patience: Patience::default(),
        headers: HeaderMap::new(),
        credentials: false,
        ca_certificate: None,
    };
    web_store(root, connector).map_err(|error| match Error::find(&error) {
        Some(ours) => ours.retell(),
        None => Error::invalid("the location is not a usable URL"),
    })
}

fn retries(connector: &Connector) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: connector.patience.max_retries,
        retry_timeout: connector.patience.retry_timeout,
    }
}

/// Plain HTTP is spoken only where the user wrote `http://`.
fn client_options(endpoint: Option<&Url>) -> ClientOptions {
    ClientOptions::new().with_allow_http(endpoint.is_some_and(|url| url.scheme() == "http"))
}

fn without_slash(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

fn s3_store(
    s3: &S3,
    bucket: &str,
    connector: Connector,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = match &s3.access {
        Access::Environment => AmazonS3Builder::from_env(),
        Access::Anonymous => AmazonS3Builder::new().with_skip_signature(true),
        Access::Keys(keys) => {
            let builder = AmazonS3Builder::new()
                .with_access_key_id(&keys.access_key_id)
                .with_secret_access_key(&keys.secret_access_key);
            match &keys.session_token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        }
    };
    if let Some(region) = &s3.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &s3.endpoint {
        builder = builder.with_endpoint(without_slash(endpoint));
    }
    // Amazon wants the bucket in the host name, most others want it in the path.
    let virtual_hosted_style = s3.virtual_hosted_style.unwrap_or(s3.endpoint.is_none());
    let store = builder
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(virtual_hosted_style)
        .with_retry(retries(&connector))
        .with_client_options(client_options(s3.endpoint.as_ref()))
        .with_http_connector(connector)
        .build()?;
    Ok(Arc::new(store))
}

fn gcs_store(
    gcs: &Gcs,
    bucket: &str,
    connector: Connector,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = match &gcs.access {
        Access::Environment => GoogleCloudStorageBuilder::from_env(),
        Access::Anonymous => GoogleCloudStorageBuilder::new().with_skip_signature(true),
        Access::Keys(key) => GoogleCloudStorageBuilder::new().with_service_account_key(key),
    };
    if let Some(endpoint) = &gcs.endpoint {
        builder = builder.with_base_url(&without_slash(endpoint));
    }
    let store = builder
        .with_bucket_name(bucket)
        .with_retry(retries(&connector))
        .with_client_options(client_options(gcs.endpoint.as_ref()))
        .with_http_connector(connector)
        .build()?;
    Ok(Arc::new(store))
}

fn azure_store(
    azure: &Azure,
    container: &str,
    connector: Connector,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let builder = match &azure.access {
        Access::Environment => MicrosoftAzureBuilder::from_env(),
        _ => MicrosoftAzureBuilder::new(),
    };
    let mut builder = builder
        .with_account(&azure.account)
        .with_container_name(container);
    builder = match &azure.access {
        Access::Environment => builder,
        Access::Anonymous => builder.with_skip_signature(true),
        Access::Keys(AzureKeys::AccessKey(key)) => builder.with_access_key(key),
        Access::Keys(AzureKeys::SasToken(token)) => {
            builder.with_config(object_store::azure::AzureConfigKey::SasKey, token)
        }
        Access::Keys(AzureKeys::Client { id, secret, tenant }) => {
            builder.with_client_secret_authorization(id, secret, tenant)
        }
    };
    if let Some(endpoint) = &azure.endpoint {
        builder = builder.with_endpoint(without_slash(endpoint));
    }
    let store = builder
        .with_retry(retries(&connector))
        .with_client_options(client_options(azure.endpoint.as_ref()))
        .with_http_connector(connector)
        .build()?;
    Ok(Arc::new(store))
}

fn web_store(root: &str, connector: Connector) -> object_store::Result<Arc<dyn ObjectStore>> {
    let allow_http = root.starts_with("http://");
    let server = HttpBuilder::new()
        .with_url(root)
        .with_retry(retries(&connector))
        .with_client_options(ClientOptions::new().with_allow_http(allow_http))
        .with_http_connector(connector)
        .build()?;
    Ok(Arc::new(WebStore { server }))
}
