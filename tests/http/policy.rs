//! Which files and addresses SQL may reach.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use weir_tests::{Server, wait};

#[tokio::test]
async fn links_out_of_an_allowed_folder_lead_nowhere() {
    let allowed = TempDir::new().unwrap();
    let secret = TempDir::new().unwrap();
    std::fs::write(secret.path().join("s.csv"), "a\n1\n").unwrap();
    std::fs::write(allowed.path().join("good.csv"), "a\n1\n").unwrap();
    symlink(secret.path().join("s.csv"), allowed.path().join("link.csv")).unwrap();
    symlink(secret.path(), allowed.path().join("folder")).unwrap();
    symlink(
        allowed.path().join("good.csv"),
        allowed.path().join("inside.csv"),
    )
    .unwrap();
    let server = Server::builder().allow_path(allowed.path()).start();
    let client = server.client();
    let read = |name: &str| {
        format!(
            "SELECT count(*) FROM read_csv('{}/{name}')",
            allowed.path().display()
        )
    };
    assert_eq!(client.number(&read("good.csv")).await, 1);
    assert_eq!(client.number(&read("inside.csv")).await, 1);
    for name in [
        "link.csv",
        "folder/s.csv",
        "folder/*.csv",
        "../etc/passwd",
        "%2e%2e/etc/passwd",
    ] {
        let problem = client.sql(&read(name)).await.unwrap_err();
        assert!(
            matches!(
                problem.sqlstate(),
                "42501" | "42P01" | "42704" | "58P01" | "22023"
            ),
            "{name}: {problem}"
        );
        let said = problem.body.to_string();
        assert!(
            !said.contains(secret.path().to_str().unwrap()),
            "{name}: {said}"
        );
    }
    // A link that is found by a glob or a folder is left out or refused, never followed out.
    if let Ok(rows) = client.sql(&read("*.csv")).await {
        assert!(rows.rows[0][0].as_i64().unwrap() <= 2, "{rows:?}");
    }
    let problem = client
        .sql(&format!(
            "COPY (SELECT 1 AS a) TO '{}/folder/new.csv'",
            allowed.path().display()
        ))
        .await
        .unwrap_err();
    assert_eq!(problem.sqlstate(), "42501", "{problem}");
    assert!(!secret.path().join("new.csv").exists());
    server.stop();
}

#[tokio::test]
async fn a_file_that_became_a_link_after_its_table_was_made_is_refused() {
    let allowed = TempDir::new().unwrap();
    let secret = TempDir::new().unwrap();
    std::fs::write(secret.path().join("s.csv"), "a\n42\n").unwrap();
    let file = allowed.path().join("t.csv");
    std::fs::write(&file, "a\n1\n").unwrap();
    let server = Server::builder().allow_path(allowed.path()).start();
    let client = server.client();
    client
        .run(&[&format!(
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{}'",
            file.display()
        )])
        .await;
    assert_eq!(client.number("SELECT a FROM t").await, 1);
    std::fs::remove_file(&file).unwrap();
    symlink(secret.path().join("s.csv"), &file).unwrap();
    if let Ok(rows) = client.sql("SELECT a FROM t").await {
        panic!("it read {rows:?}");
    }
    server.stop();
}

#[tokio::test]
async fn loopback_and_private_addresses_are_refused_unless_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let hits = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&hits);
    let listening = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = connection
                .write_all(b"HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
    });
    let server = Server::start();
    let client = server.client();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "2130706433",
        "127.1",
        "[::ffff:127.0.0.1]",
    ] {
        let sql = format!("SELECT * FROM read_csv('http://{host}:{port}/x.csv')");
        let problem = client.sql(&sql).await.unwrap_err();
        assert!(problem.status < 500, "{host}: {problem}");
    }
    for url in [
        "http://169.254.169.254/x.csv",
        "http://10.0.0.1/x.csv",
        "http://192.168.1.1/x.csv",
        "http://[fe80::1]/x.csv",
    ] {
        let problem = client
            .sql(&format!("SELECT * FROM read_csv('{url}')"))
            .await
            .unwrap_err();
        assert_eq!(problem.sqlstate(), "42501", "{url}: {problem}");
    }
    let s3 = format!(
        "CREATE CONNECTION c WITH (type = 's3', endpoint = 'http://127.0.0.1:{port}', region = 'x', access_key_id = 'a', secret_access_key = 'b')"
    );
    if client.sql(&s3).await.is_ok() {
        let sql = "CREATE EXTERNAL TABLE e STORED AS PARQUET LOCATION 's3://bucket/x.parquet' OPTIONS (connection 'c')";
        let problem = client.sql(sql).await.unwrap_err();
        assert!(problem.status < 500, "{problem}");
    }
    server.stop();
    // Nobody has come, and nobody is on the way: this one is the first.
    drop(tokio::net::TcpStream::connect(("127.0.0.1", port)).await);
    wait::eventually("the listener listens", async || {
        let hits = hits.load(Ordering::SeqCst);
        wait::check(hits > 0, "nobody came")
    })
    .await;
    assert_eq!(hits.load(Ordering::SeqCst), 1, "somebody was reached");
    listening.abort();
}
