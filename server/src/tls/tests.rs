use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;

fn settings() -> TlsSettings {
    TlsSettings {
        enabled: true,
        ..TlsSettings::default()
    }
}

/// Greets each connection.
async fn serve(tls: &Tls) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let acceptor = tls.acceptor(&[b"h2", b"http/1.1"]).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                stream.write_all(b"hello").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    at
}

/// What a client reads that trusts this certificate alone.
async fn read(at: SocketAddr, trusted: &Path) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificate::chain(trusted).unwrap() {
        roots.add(certificate).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(at).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok(said)
}

#[tokio::test]
async fn a_certificate_is_made_kept_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::open(&settings(), folder.path(), &[]).unwrap().unwrap();
    let at = serve(&tls).await;
    let file = tls.certificate_file().to_owned();
    assert_eq!(read(at, &file).await.unwrap(), "hello");

    let again = Tls::open(&settings(), folder.path(), &[]).unwrap().unwrap();
    let other = serve(&again).await;
    assert_eq!(read(other, &file).await.unwrap(), "hello", "it was kept");

    let earlier = folder.path().join("earlier.pem");
    fs::copy(&file, &earlier).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    certificate::own(elsewhere.path(), &[]).unwrap();
    for name in ["key.pem", "certificate.pem"] {
        fs::copy(
            elsewhere.path().join(name),
            folder.path().join("tls").join(name),
        )
        .unwrap();
    }
    tls.reload_if_changed();
    assert_eq!(read(at, &file).await.unwrap(), "hello");
    assert!(read(at, &earlier).await.is_err());

    fs::write(&file, "nothing").unwrap();
    tls.reload_if_changed();
    let new = elsewhere.path().join("certificate.pem");
    assert_eq!(
        read(at, &new).await.unwrap(),
        "hello",
        "the one before stays"
    );
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate::own(&folder.path().join("a"), &[]).unwrap();
    let (_, other) = certificate::own(&folder.path().join("b"), &[]).unwrap();
    let open = |certificate: Option<&PathBuf>, key: Option<&PathBuf>| {
        let settings = TlsSettings {
            certificate: certificate.cloned(),
            key: key.cloned(),
            ..settings()
        };
        Tls::open(&settings, folder.path(), &[])
    };
    assert!(open(Some(&certificate), Some(&key)).is_ok());
    assert!(open(Some(&certificate), Some(&other)).is_err());
    assert!(open(Some(&certificate), None).is_err());
    assert!(open(Some(&key), Some(&key)).is_err());
    assert!(
        Tls::open(&TlsSettings::default(), folder.path(), &[])
            .unwrap()
            .is_none()
    );
}
