//! Certificates in files, and the one that is made when the operator has none.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::Datelike;
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Result};

/// How long a certificate that is made is valid, more or less; who deletes it gets a new one.
const VALID_YEARS: i32 = 10;

/// The certificate and key in `folder`, which are made when they are not there. A certificate for other names stays: clients
/// trust it.
pub(super) fn own(folder: &Path, names: &[String]) -> Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let made = make(names)?;
    let failed = |error: std::io::Error| Error::Tls {
        reason: format!(
            "a certificate cannot be kept in {}: {error}",
            folder.display()
        ),
        hint: None,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    write(&key, &made.key, 0o600).map_err(failed)?;
    write(&certificate, &made.certificate, 0o644).map_err(failed)?;
    tracing::info!(certificate = %certificate.display(), "made a self-signed certificate; clients have to be told to trust it");
    Ok((certificate, key))
}

struct Made {
    certificate: String,
    key: String,
}

fn make(names: &[String]) -> Result<Made> {
    let failed = |error: rcgen::Error| Error::Tls {
        reason: format!("a certificate cannot be made: {error}"),
        hint: Some("tls.names are names and addresses"),
    };
    let mut all = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    for name in names {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    let mut params = CertificateParams::new(all).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, "weir");
    // Some clients refuse one that is not valid yet, or for ever.
    let today = chrono::Utc::now().date_naive();
    let year = today.year();
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + VALID_YEARS, 1, 1);
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(Made {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(mode);
    }
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The certificates of a PEM file, the server's own first.
pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = |reason: String| unreadable(path, "certificate", &reason);
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(std::iter::Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("it holds none".to_owned()));
    }
    Ok(chain)
}

/// The key of a PEM file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, "key", &error.to_string()))
}

fn unreadable(path: &Path, what: &str, reason: &str) -> Error {
    Error::Tls {
        reason: format!("no {what} can be read from {}: {reason}", path.display()),
        hint: Some("it must be in PEM form"),
    }
}
