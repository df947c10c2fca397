//! An S3 server on loopback: moto, from PyPI.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{logs, process, python};

/// A running S3 server; it ends when dropped. Any credentials are good.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    url: String,
    http: reqwest::Client,
}

impl Moto {
    /// Starts one on a port that the system picks.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        let mut command = Command::new(python::program("python"));
        command
            .arg(python::script("moto_server.py"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "true");
        let mut child = process::spawn(&mut command).expect("python can be run");
        let output = logs::Lines::collect(child.stdout.take().expect("stdout is piped"));
        let errors = logs::Lines::collect(child.stderr.take().expect("stderr is piped"));
        let url = crate::eventually("moto names its address", async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("moto ended ({status}):\n{}", errors.finish().join("\n"));
            }
            output
                .find(|line| line.strip_prefix("s3 ").map(str::to_owned))
                .ok_or_else(|| errors.now().join("\n"))
        })
        .await;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("an HTTP client can be built");
        Self { child, url, http }
    }

    /// The endpoint, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn make_bucket(&self, bucket: &str) {
        self.put(bucket, Vec::new()).await;
    }

    /// Stores an object at `bucket/key`.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn put(&self, path: &str, body: Vec<u8>) {
        let response = self
            .http
            .put(format!("{}/{path}", self.url))
            // moto reads the account out of the header and checks no signature.
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20240101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
            )
            .body(body)
            .send()
            .await
            .expect("moto answers");
        assert!(
            response.status().is_success(),
            "moto refused {path}: {:?}",
            response.text().await
        );
    }

    /// Reads an object; `None` when there is none.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn get(&self, path: &str) -> Option<Vec<u8>> {
        let response = self
            .http
            .get(format!("{}/{path}", self.url))
            .send()
            .await
            .expect("moto answers");
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return None;
        }
        Some(response.bytes().await.expect("an object arrives").to_vec())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
