//! The door's bounds: messages, uploads, tickets, connections.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_flight::error::FlightError;
use arrow_flight::sql::{
    CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use futures::TryStreamExt;
use weir_tests::Server;
use weir_tests::wait::eventually;

use super::client;
use crate::LARGE;

fn batch(rows: i64) -> RecordBatch {
    RecordBatch::try_from_iter([
        (
            "n",
            Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef,
        ),
        (
            "t",
            Arc::new(StringArray::from_iter_values(
                (0..rows).map(|row| format!("row {row:050}")),
            )) as ArrayRef,
        ),
    ])
    .unwrap()
}

fn ingest(table: &str) -> CommandStatementIngest {
    CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Create as i32,
            if_exists: TableExistsOption::Append as i32,
        }),
        table: table.to_owned(),
        ..CommandStatementIngest::default()
    }
}

#[tokio::test]
async fn answers_fit_into_the_messages_that_clients_take() {
    // arrow-rs takes 4 MB, as gRPC does where nothing else is said.
    let server = Server::builder().flight().start();
    let mut client = client(&server).await;
    let sql = "SELECT repeat('x', 30 * value) AS t FROM generate_series(1, 2000) AS g(value)";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<RecordBatch> = client
        .do_get(ticket)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
        2000
    );
    assert!(batches.len() > 10);
    server.stop();
}

#[tokio::test]
async fn an_upload_that_is_too_large_leaves_nothing_behind() {
    let server = Server::builder()
        .flight()
        .arg("--set")
        .arg("flight_door.upload_bytes=1MB")
        .start();
    let mut client = client(&server).await;
    let small = futures::stream::iter([Ok::<_, FlightError>(batch(100))]);
    assert_eq!(
        client.execute_ingest(ingest("small"), small).await.unwrap(),
        100
    );
    let large = futures::stream::iter((0..50).map(|_| Ok::<_, FlightError>(batch(2000))));
    let refused = client
        .execute_ingest(ingest("large"), large)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("upload"), "{refused}");
    // One message that says to be larger than any may be.
    let huge = futures::stream::iter([Ok::<_, FlightError>(batch(100_000))]);
    assert!(client.execute_ingest(ingest("huge"), huge).await.is_err());
    let rest = server.client();
    assert_eq!(rest.number("SELECT count(*) FROM small").await, 100);
    assert_eq!(
        rest.number(
            "SELECT count(*) FROM information_schema.tables WHERE table_name IN ('large', 'huge')"
        )
        .await,
        0
    );
    server.stop();
}

#[tokio::test]
async fn answers_that_nobody_reads_are_cancelled_in_time() {
    let server = Server::builder()
        .flight()
        .arg("--set")
        .arg("flight_door.ticket_expiry=300ms")
        .arg("--set")
        .arg("flight_door.tickets=2")
        .start();
    let mut client = client(&server).await;
    let mut tickets = Vec::new();
    for _ in 0..2 {
        let info = client.execute(LARGE.to_owned(), None).await.unwrap();
        tickets.push(info.endpoint[0].ticket.clone().unwrap());
    }
    // A third may be refused, unless the first has expired by then.
    let third = client.execute(LARGE.to_owned(), None).await;
    if let Err(error) = third {
        assert!(error.to_string().contains("answers wait"), "{error}");
    }
    let rest = server.client();
    eventually("the queries end", async || {
        match rest.running("generate_series").await.len() {
            0 => Ok(()),
            count => Err(format!("{count} run")),
        }
    })
    .await;
    let worthless = client
        .do_get(tickets.remove(0))
        .await
        .expect_err("it has expired");
    assert!(
        worthless.to_string().contains("worth nothing"),
        "{worthless}"
    );
    server.stop();
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed() {
    let server = Server::builder()
        .flight()
        .arg("--set")
        .arg("flight_door.connections=1")
        .start();
    let mut first = client(&server).await;
    first.execute("SELECT 1".to_owned(), None).await.unwrap();
    let address = format!("http://{}", server.flight());
    let second = tonic::transport::Endpoint::from_shared(address)
        .unwrap()
        .connect_timeout(Duration::from_secs(5))
        .connect_lazy();
    let mut second = arrow_flight::sql::client::FlightSqlServiceClient::new(second);
    assert!(second.execute("SELECT 1".to_owned(), None).await.is_err());
    first.execute("SELECT 1".to_owned(), None).await.unwrap();
    server.stop();
}
