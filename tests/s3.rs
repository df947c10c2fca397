//! S3 on loopback: read, write, and what happens when the store fails.

use std::time::Duration;

use weir_tests::moto::Moto;
use weir_tests::proxy::{Fault, Proxy};
use weir_tests::wait::{check, eventually};
use weir_tests::{Client, Server, ServerBuilder, files};

/// A server that may reach loopback, with a connection `lake` to `endpoint`.
async fn server(endpoint: &str) -> Server {
    connected(Server::builder(), endpoint).await
}

async fn connected(builder: ServerBuilder, endpoint: &str) -> Server {
    let server = builder.env("WEIR_ALLOW_PRIVATE_NETWORK", "true").start();
    server
        .client()
        .run(&[&format!(
            "CREATE CONNECTION lake WITH (type = 's3', endpoint = '{endpoint}', region = 'us-east-1', \
             access_key_id = 'test', secret_access_key = 'keep-this-secret')"
        )])
        .await;
    server
}

async fn table(client: &Client, name: &str, location: &str) {
    client
        .run(&[&format!(
            "CREATE EXTERNAL TABLE {name} STORED AS PARQUET LOCATION '{location}' OPTIONS (connection 'lake')"
        )])
        .await;
}

async fn filled() -> Moto {
    let moto = Moto::start().await;
    moto.make_bucket("lake").await;
    let trips = files::trips(1000);
    for (at, part) in trips.chunks(250).enumerate() {
        let file = files::parquet(&files::batch(part), 100);
        moto.put(&format!("lake/trips/part-{at}.parquet"), file)
            .await;
    }
    moto.put("lake/one.csv", files::csv(&files::batch(&trips[..10])))
        .await;
    moto
}

#[tokio::test]
async fn files_are_read_by_folder_glob_and_name() {
    let moto = filled().await;
    let server = server(moto.url()).await;
    let client = server.client();
    table(&client, "trips", "s3://lake/trips/").await;
    assert_eq!(client.number("SELECT count(*) FROM trips").await, 1000);
    assert_eq!(
        client
            .number("SELECT sum(id) FROM trips WHERE id > 990")
            .await,
        9955
    );
    table(&client, "half", "s3://lake/trips/part-[01].parquet").await;
    assert_eq!(client.number("SELECT count(*) FROM half").await, 500);
    let sql = "SELECT count(*) FROM read_csv('s3://lake/one.csv', connection => 'lake')";
    assert_eq!(client.number(sql).await, 10);
    server.stop();
}

#[tokio::test]
async fn results_are_written_and_appended() {
    let moto = filled().await;
    let server = server(moto.url()).await;
    let client = server.client();
    client
        .run(&[
            "CREATE TABLE t (id BIGINT PRIMARY KEY, name TEXT)",
            "INSERT INTO t VALUES (1, 'one'), (2, 'two')",
            "COPY t TO 's3://lake/out/t.csv' STORED AS CSV OPTIONS (connection 'lake')",
        ])
        .await;
    let written = moto
        .get("lake/out/t.csv")
        .await
        .expect("the object is there");
    let mut lines: Vec<&str> = std::str::from_utf8(&written).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["1,one", "2,two", "id,name"]);
    client
        .run(&[
            "CREATE EXTERNAL TABLE sink (id BIGINT, name TEXT) STORED AS PARQUET LOCATION 's3://lake/sink/' OPTIONS (connection 'lake')",
            "INSERT INTO sink SELECT * FROM t",
            "INSERT INTO sink VALUES (3, 'three')",
        ])
        .await;
    assert_eq!(client.number("SELECT count(*) FROM sink").await, 3);
    server.stop();
}

#[tokio::test]
async fn a_sink_writes_each_row_once_though_the_store_was_away() {
    let moto = Moto::start().await;
    moto.make_bucket("lake").await;
    let proxy = Proxy::start(moto.url()).await;
    let builder = Server::builder().expect_log("a sink cannot write; it tries again");
    let server = connected(builder, proxy.url()).await;
    let client = server.client();
    client
        .run(&[
            "CREATE STREAM s (id BIGINT, k BIGINT)",
            "CREATE SINK out FROM s WITH (connector = 'files', connection = 'lake', location = 's3://lake/sunk/', partition_by = 'k', rollover_interval = '10ms')",
        ])
        .await;
    let job = async |wanted: &str| {
        eventually(wanted, async || {
            let state = "SELECT state FROM weir.jobs WHERE name = 'out'";
            let state = client.value(state).await;
            check(state == wanted, state.to_string())
        })
        .await;
    };
    job("running").await;
    proxy.set(Fault::Status(403));
    client.run(&["INSERT INTO s VALUES (1, 1), (2, 2)"]).await;
    job("retrying").await;
    proxy.set(Fault::None);
    let seen = async |ids: i64| {
        eventually("all rows are in the bucket", async || {
            let sql = "SELECT count(*), sum(id) FROM read_parquet('s3://lake/sunk/', connection => 'lake')";
            match client.sql(sql).await {
                Ok(rows) => {
                    let seen = format!("{:?}", rows.rows);
                    let sum = ids * (ids + 1) / 2;
                    check(rows.rows[0][0] == ids && rows.rows[0][1] == sum, seen)
                }
                Err(problem) => Err(problem.detail()),
            }
        })
        .await;
    };
    seen(2).await;
    job("running").await;
    client.run(&["INSERT INTO s VALUES (3, 1), (4, 3)"]).await;
    seen(4).await;
    let problem = client.sql("DROP CONNECTION lake").await.unwrap_err();
    assert!(problem.detail().contains("sink \"out\""), "{problem}");
    server.stop();
}

#[tokio::test]
async fn what_is_not_there_and_what_is_forbidden_are_told_apart() {
    let moto = filled().await;
    let proxy = Proxy::start(moto.url()).await;
    let server = server(proxy.url()).await;
    let client = server.client();
    let missing = "SELECT * FROM read_parquet('s3://lake/none.parquet', connection => 'lake')";
    let problem = client.sql(missing).await.unwrap_err();
    assert!(problem.detail().contains("none.parquet"), "{problem}");
    assert!(problem.status < 500, "{problem}");
    let problem = client
        .sql("SELECT * FROM read_parquet('s3://no-such-bucket/x.parquet', connection => 'lake')")
        .await
        .unwrap_err();
    assert!(problem.status < 500, "{problem}");
    proxy.set(Fault::Status(403));
    let problem = client
        .sql("SELECT * FROM read_csv('s3://lake/one.csv', connection => 'lake')")
        .await
        .unwrap_err();
    assert!(matches!(problem.status, 403 | 502 | 503), "{problem}");
    let said = problem.body.to_string();
    assert!(said.contains("lake"), "{said}");
    assert!(!said.contains("keep-this-secret"), "{said}");
    server.stop();
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_is_asked_again() {
    let moto = filled().await;
    let proxy = Proxy::start(moto.url()).await;
    let server = server(proxy.url()).await;
    let client = server.client();
    table(&client, "trips", "s3://lake/trips/").await;
    for fault in [Fault::Status(503), Fault::Status(500)] {
        proxy.set_for(fault, 2);
        let answer = client
            .sql("SELECT count(*), sum(distance) FROM trips")
            .await;
        let rows = answer.unwrap_or_else(|problem| panic!("{fault:?}: {problem}"));
        assert_eq!(rows.rows[0][0], 1000, "{fault:?}");
    }
    // A listing that breaks off may be an error, the next one is none.
    proxy.set_for(Fault::CutAfter { bytes: 300 }, 2);
    if let Err(problem) = client.sql("SELECT count(*) FROM trips").await {
        assert_eq!(problem.sqlstate(), "58030", "{problem}");
    }
    proxy.set(Fault::None);
    assert_eq!(client.number("SELECT count(*) FROM trips").await, 1000);
    server.stop();
}

#[tokio::test]
async fn a_store_that_stays_broken_is_an_error_never_a_part_of_the_rows() {
    let moto = filled().await;
    let proxy = Proxy::start(moto.url()).await;
    let server = server(proxy.url()).await;
    let client = server.client();
    table(&client, "trips", "s3://lake/trips/").await;
    for fault in [
        Fault::Status(503),
        Fault::Status(403),
        Fault::CutAfter { bytes: 2000 },
    ] {
        proxy.set(fault);
        match client.sql("SELECT * FROM trips").await {
            // A store that breaks off is asked for the rest, so that all may come in the end.
            Ok(rows) => assert_eq!(rows.row_count, 1000, "{fault:?}"),
            Err(problem) => {
                assert!(problem.status >= 400, "{fault:?}: {problem}");
                assert!(problem.sqlstate() != "XX000", "{fault:?}: {problem}");
            }
        }
    }
    proxy.set(Fault::None);
    assert_eq!(client.number("SELECT count(*) FROM trips").await, 1000);
    server.stop();
}

#[tokio::test]
async fn a_slow_store_is_waited_for_until_the_queries_own_time_is_up() {
    let moto = filled().await;
    let proxy = Proxy::start(moto.url()).await;
    let server = server(proxy.url()).await;
    let client = server.client();
    table(&client, "trips", "s3://lake/trips/").await;
    proxy.set(Fault::Slow { piece: 4096 });
    assert_eq!(client.number("SELECT count(*) FROM trips").await, 1000);
    proxy.set(Fault::Silent);
    let body = serde_json::json!({ "query": "SELECT max(id) FROM trips", "timeout_ms": 1000 });
    let started = std::time::Instant::now();
    let request = client.query_body(&body, weir_tests::client::media::JSON);
    let problem = client.rows_of(request).await.unwrap_err();
    assert_eq!(problem.sqlstate(), "57014", "{problem}");
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    server.stop();
}

#[tokio::test]
async fn a_failed_write_leaves_no_object() {
    let moto = filled().await;
    let proxy = Proxy::start(moto.url()).await;
    let server = server(proxy.url()).await;
    let client = server.client();
    let failing = "COPY (SELECT 1 / (value - 50000) AS x FROM generate_series(1, 100000) AS g(value)) \
                   TO 's3://lake/out/broken.parquet' OPTIONS (connection 'lake')";
    let problem = client.sql(failing).await.unwrap_err();
    assert_eq!(problem.sqlstate(), "22012", "{problem}");
    assert!(moto.get("lake/out/broken.parquet").await.is_none());
    proxy.set(Fault::Status(403));
    let sql = "COPY (SELECT 1 AS x) TO 's3://lake/out/denied.csv' OPTIONS (connection 'lake')";
    assert!(client.sql(sql).await.is_err());
    proxy.set(Fault::None);
    assert!(moto.get("lake/out/denied.csv").await.is_none());
    server.stop();
}

#[tokio::test]
async fn secrets_are_printed_by_nothing() {
    let moto = filled().await;
    let server = server(moto.url()).await;
    let client = server.client();
    table(&client, "trips", "s3://lake/trips/").await;
    for sql in [
        "SHOW CREATE CONNECTION lake",
        "SHOW CONNECTIONS",
        "SELECT * FROM weir.connections",
        "SHOW CREATE EXTERNAL TABLE trips",
        "EXPLAIN VERBOSE SELECT * FROM trips",
        "SHOW QUERIES",
    ] {
        let rows = client.rows(sql).await;
        let said = format!("{rows:?}");
        assert!(!said.contains("keep-this-secret"), "{sql}: {said}");
    }
    let queries = format!("{:?}", client.queries().await);
    assert!(!queries.contains("keep-this-secret"), "{queries}");
    let log = server.log().join("\n");
    assert!(!log.contains("keep-this-secret"), "{log}");
    server.stop();
}

#[tokio::test]
async fn a_connection_is_tested_before_it_is_made_and_after() {
    let moto = filled().await;
    let server = server(moto.url()).await;
    let client = server.client();
    let options = |endpoint: &str| {
        format!(
            "(type = 's3', endpoint = '{endpoint}', region = 'us-east-1', access_key_id = 'test', secret_access_key = 'keep-this-secret')"
        )
    };
    let test =
        |endpoint: &str, at: &str| format!("TEST CONNECTION WITH {} AT '{at}'", options(endpoint));
    let seen = client.rows(&test(moto.url(), "s3://lake/")).await;
    assert_eq!(seen.rows.len(), 5, "{seen:?}");
    assert_eq!(seen.rows[0][0], "s3://lake/one.csv");
    let folder = client
        .rows("TEST CONNECTION lake AT 's3://lake/trips/'")
        .await;
    assert_eq!(folder.rows.len(), 4, "{folder:?}");
    let file = client
        .rows("TEST CONNECTION lake AT 's3://lake/one.csv'")
        .await;
    assert_eq!(file.rows.len(), 1, "{file:?}");
    for (sql, says) in [
        (test(moto.url(), "s3://none/"), "the bucket does not exist"),
        (test("http://127.0.0.1:1", "s3://lake/"), "s3://lake/"),
        (test(moto.url(), "gs://lake/"), "leads to s3, not to gcs"),
        (
            test(moto.url(), "/etc/"),
            "tested at a folder or file of a store",
        ),
        (
            "TEST CONNECTION lake".to_owned(),
            "needs a place to look at",
        ),
        ("TEST CONNECTION lak AT 's3://lake/'".to_owned(), "lak"),
        (
            "TEST CONNECTION WITH (type = 's3', access_key_id = 'test', secret_access_key = 'test', regio = 'x') AT 's3://lake/'".to_owned(),
            "regio",
        ),
    ] {
        let problem = client.sql(&sql).await.unwrap_err();
        let said = format!("{problem:?}");
        assert!(said.contains(says), "{sql}: {said}");
        assert!(!said.contains("keep-this-secret"), "{said}");
    }
    let queries = format!("{:?}", client.queries().await);
    assert!(!queries.contains("keep-this-secret"), "{queries}");
    server.stop();
}

#[tokio::test]
async fn a_test_of_a_connection_keeps_to_the_policy() {
    let server = Server::builder()
        .env("WEIR_ALLOW_LOCATIONS", "s3://ours/")
        .start();
    let client = server.client();
    for (sql, says) in [
        (
            "TEST CONNECTION WITH (type = 's3', endpoint = 'http://127.0.0.1:1', anonymous = true) AT 's3://ours/'",
            "not an address of the public internet",
        ),
        (
            "TEST CONNECTION WITH (type = 's3', endpoint = 'http://127.0.0.1:1', anonymous = true) AT 's3://others/'",
            "not below a location that this server may use",
        ),
    ] {
        let said = format!("{:?}", client.sql(sql).await.unwrap_err());
        assert!(said.contains(says), "{sql}: {said}");
    }
    server.stop();
}
