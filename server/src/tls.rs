//! TLS for all doors: one certificate, the operator's or one made at the first start, read again when its files change.
//!
//! What a door needs is [`Tls::acceptor`]; it goes on giving new certificates to new connections by itself.

mod certificate;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, Result};

/// How doors speak TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsSettings {
    /// Whether they do.
    pub enabled: bool,
    /// The certificate chain, as PEM; without one, a certificate is made and kept in the data folder.
    pub certificate: Option<PathBuf>,
    /// The key of the certificate, as PEM.
    pub key: Option<PathBuf>,
    /// The names and addresses of a certificate that is made, besides `localhost` and those that doors listen on.
    pub names: Vec<String>,
}

/// The server's certificate, as it is now.
#[derive(Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    /// When the files that were read last had changed.
    read: Mutex<Option<(SystemTime, SystemTime)>>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// The TLS of these settings; `None` when it is off. `names` are those by which clients may call the server, for a certificate
    /// that has to be made.
    ///
    /// # Errors
    /// [`Error::Tls`] when a file cannot be read or written, or key and certificate do not belong together.
    pub fn open(
        settings: &TlsSettings,
        data_dir: &Path,
        names: &[String],
    ) -> Result<Option<Arc<Self>>> {
        if !settings.enabled {
            return Ok(None);
        }
        let (certificate, key) = match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (None, None) => {
                let all: Vec<String> = settings.names.iter().chain(names).cloned().collect();
                certificate::own(&data_dir.join("tls"), &all)?
            }
            (given, _) => {
                let missing = if given.is_some() {
                    "tls.key"
                } else {
                    "tls.certificate"
                };
                return Err(Error::Tls {
                    reason: format!("{missing} is not set"),
                    hint: Some("set both, or none for a certificate that is made at the start"),
                });
            }
        };
        let provider = Arc::new(default_provider());
        let loaded = load(&certificate, &key, &provider)?;
        Ok(Some(Arc::new(Self {
            read: Mutex::new(changed(&certificate, &key)),
            certificate,
            key,
            provider,
            current: Arc::new(Current(ArcSwap::from_pointee(loaded))),
        })))
    }

    /// What makes TLS of connections. `protocols` are those that the door offers by ALPN, the best first; without any, what a
    /// client asks for is not looked at.
    ///
    /// # Errors
    /// [`Error::Tls`] when the cryptography does not offer the versions of TLS that Weir speaks.
    pub fn acceptor(&self, protocols: &[&[u8]]) -> Result<TlsAcceptor> {
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Tls {
                reason: error.to_string(),
                hint: None,
            })?;
        let mut config = config
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as _);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// The file of the certificate, which clients need in order to trust one that was made here.
    pub fn certificate_file(&self) -> &Path {
        &self.certificate
    }

    /// Reads the files again when they have changed. What cannot be read leaves the certificate as it is.
    pub(crate) fn reload_if_changed(&self) {
        let now = changed(&self.certificate, &self.key);
        let mut read = self.read.lock();
        if now.is_none() || *read == now {
            return;
        }
        // Also of files that do not fit: they are said to be wrong once. Who writes the second of two files changes a time again.
        *read = now;
        match load(&self.certificate, &self.key, &self.provider) {
            Ok(loaded) => {
                self.current.0.store(Arc::new(loaded));
                tracing::info!(certificate = %self.certificate.display(), "new connections get the new certificate");
            }
            Err(error) => {
                tracing::warn!(%error, "the certificate has changed and cannot be used; the one before stays");
            }
        }
    }
}

fn load(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey> {
    let chain = certificate::chain(certificate)?;
    let private = certificate::private_key(key)?;
    let wrong = |error: rustls::Error| Error::Tls {
        reason: format!(
            "{} and {} cannot be used: {error}",
            certificate.display(),
            key.display()
        ),
        hint: None,
    };
    CertifiedKey::from_der(chain, private, provider).map_err(wrong)
}

/// When the two files last changed.
fn changed(certificate: &Path, key: &Path) -> Option<(SystemTime, SystemTime)> {
    let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    Some((time(certificate)?, time(key)?))
}

#[cfg(test)]
mod tests;
