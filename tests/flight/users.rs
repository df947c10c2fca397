//! Who is let in where people sign in, and what they see.

use arrow::array::{AsArray, RecordBatch};
use arrow_flight::sql::CommandGetTables;
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use tonic::transport::Channel;
use weir_tests::{Server, python};

use super::client;

const PASSWORD: &str = "correct horse battery";

async fn closed() -> Server {
    let server = Server::builder().flight().arg("--auth").start();
    server
        .admin()
        .run(&[
            "CREATE TABLE open (n BIGINT)",
            "CREATE TABLE closed (n BIGINT)",
            &format!("CREATE USER ada PASSWORD '{PASSWORD}'"),
            "GRANT SELECT ON open TO ada",
        ])
        .await;
    server
}

/// What a client is told of a statement.
async fn outcome(client: &mut FlightSqlServiceClient<Channel>, sql: &str) -> String {
    match client.execute(sql.to_owned(), None).await {
        Ok(_) => "done".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn nobody_gets_in_without_credentials() {
    let server = closed().await;
    let mut nobody = client(&server).await;
    assert!(outcome(&mut nobody, "SELECT 1").await.contains("28000"));
    assert!(nobody.handshake("ada", "wrong").await.is_err());
    assert!(nobody.handshake("nobody", PASSWORD).await.is_err());
    nobody.set_token("garbage".to_owned());
    assert_ne!(outcome(&mut nobody, "SELECT 1").await, "done");
    nobody.set_token(uuid::Uuid::new_v4().simple().to_string());
    assert_ne!(outcome(&mut nobody, "SELECT 1").await, "done");
    // A handshake's token is one, as is a user's own.
    let mut ada = client(&server).await;
    ada.handshake("ada", PASSWORD).await.unwrap();
    assert_eq!(outcome(&mut ada, "SELECT 1").await, "done");
    let mut admin = client(&server).await;
    admin.set_token(server.token());
    assert_eq!(outcome(&mut admin, "SELECT * FROM closed").await, "done");
    // Who may no longer sign in may do nothing more, whatever was given before.
    server.admin().run(&["DROP USER ada"]).await;
    assert_ne!(outcome(&mut ada, "SELECT 1").await, "done");
    server.stop();
}

#[tokio::test]
async fn a_user_sees_and_does_what_is_granted() {
    let server = closed().await;
    let mut ada = client(&server).await;
    ada.handshake("ada", PASSWORD).await.unwrap();
    assert_eq!(outcome(&mut ada, "SELECT * FROM open").await, "done");
    assert!(
        outcome(&mut ada, "SELECT * FROM closed")
            .await
            .contains("SQLSTATE 42")
    );
    assert!(
        outcome(&mut ada, "INSERT INTO open VALUES (1)")
            .await
            .contains("42501")
    );
    let request = CommandGetTables {
        table_types: vec!["TABLE".to_owned()],
        ..CommandGetTables::default()
    };
    let info = ada.get_tables(request).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<RecordBatch> = ada
        .do_get(ticket)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let names: Vec<&str> = batches
        .iter()
        .flat_map(|batch| batch.column(2).as_string::<i32>().iter().flatten())
        .collect();
    assert_eq!(names, ["open"]);
    // The ticket of another's query is worth nothing, and cannot be cancelled.
    let mut admin = client(&server).await;
    admin.set_token(server.token());
    let info = admin
        .execute("SELECT * FROM closed".to_owned(), None)
        .await
        .unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    assert!(ada.do_get(ticket.clone()).await.is_err());
    assert!(admin.do_get(ticket).await.is_ok());
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn adbc_signs_in_over_tls() {
    let server = Server::builder()
        .flight()
        .arg("--auth")
        .arg("--tls")
        .start();
    let token = server.token();
    let certificate = server.folder().join("data/tls/certificate.pem");
    let said = python::run(
        "flight_tls.py",
        &[
            &server.flight(),
            &token,
            certificate.to_str().expect("a plain path"),
        ],
    );
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}
