//! What drivers do not reach: the schema of a query that is not run, polls, several clients of one answer, drain.

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};
use arrow_flight::sql::{Any, CommandGetDbSchemas, CommandStatementQuery, ProstMessageExt};
use arrow_flight::{FlightDescriptor, FlightInfo, IpcMessage};
use futures::TryStreamExt;
use prost::Message;
use tonic::Code;
use weir_tests::Server;
use weir_tests::wait::eventually;

use super::client;
use crate::{LARGE, SLOW};

fn query(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery {
        query: sql.to_owned(),
        transaction_id: None,
    };
    let any: Any = command.as_any();
    FlightDescriptor::new_cmd(any.encode_to_vec())
}

fn ticket(info: &FlightInfo) -> arrow_flight::Ticket {
    info.endpoint[0].ticket.clone().expect("a ticket")
}

#[tokio::test]
async fn a_query_is_answered_in_the_schema_that_was_promised() {
    let server = Server::builder().flight().start();
    let mut client = client(&server).await;
    let info = client
        .execute("SELECT 1 AS one, 'x' AS text".to_owned(), None)
        .await
        .unwrap();
    let promised = info.clone().try_decode_schema().unwrap();
    let batches: Vec<RecordBatch> = client
        .do_get(ticket(&info))
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(batches[0].schema().fields(), promised.fields());
    assert_eq!(
        batches[0].column(0).as_primitive::<Int64Type>(),
        &Int64Array::from(vec![1])
    );
    // The schema alone: nothing runs, nothing waits.
    let inner = client.inner_mut();
    let schema = inner.get_schema(query(SLOW)).await.unwrap().into_inner();
    let schema = Schema::try_from(IpcMessage(schema.schema)).unwrap();
    assert_eq!(schema.field(0).name(), "slow");
    let poll = inner
        .poll_flight_info(query("SELECT 5 AS n"))
        .await
        .unwrap()
        .into_inner();
    assert!(poll.flight_descriptor.is_none() && poll.info.is_some());
    let write = inner
        .get_schema(query("CREATE TABLE t (n BIGINT)"))
        .await
        .unwrap();
    let schema = Schema::try_from(IpcMessage(write.into_inner().schema)).unwrap();
    assert!(schema.fields().is_empty());
    assert_eq!(
        server
            .client()
            .number("SELECT count(*) FROM information_schema.tables WHERE table_name = 't'")
            .await,
        0
    );
    server.stop();
}

#[tokio::test]
async fn patterns_of_metadata_are_those_of_like() {
    let server = Server::builder().flight().start();
    server
        .client()
        .run(&["CREATE SCHEMA sales", "CREATE SCHEMA sale_x"])
        .await;
    let mut client = client(&server).await;
    let mut names = async |pattern: &str| -> Vec<String> {
        let request = CommandGetDbSchemas {
            catalog: Some("weir".to_owned()),
            db_schema_filter_pattern: Some(pattern.to_owned()),
        };
        let info = client.get_db_schemas(request).await.unwrap();
        let batches: Vec<RecordBatch> = client
            .do_get(ticket(&info))
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        batches
            .iter()
            .flat_map(|batch| batch.column(1).as_string::<i32>().iter().flatten())
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(names("sale%").await, ["sale_x", "sales"]);
    assert_eq!(names("sale_").await, ["sales"]);
    assert_eq!(names("sale\\_x").await, ["sale_x"]);
    assert!(names("SALES").await.is_empty());
    server.stop();
}

#[tokio::test]
async fn a_reader_that_leaves_stops_its_query() {
    let server = Server::builder().flight().start();
    let mut client = client(&server).await;
    let info = client.execute(LARGE.to_owned(), None).await.unwrap();
    let mut rows = client.do_get(ticket(&info)).await.unwrap();
    assert!(rows.try_next().await.unwrap().is_some());
    assert_eq!(server.client().running("generate_series").await.len(), 1);
    drop(rows);
    eventually("the query stops", async || {
        match server.client().running("generate_series").await.len() {
            0 => Ok(()),
            count => Err(format!("{count} run")),
        }
    })
    .await;
    server.stop();
}

#[tokio::test]
async fn a_stopping_server_lets_an_answer_be_read_and_ends_live_ones() {
    let server = Server::builder().flight().start();
    server
        .client()
        .run(&["CREATE STREAM s (n BIGINT)", "INSERT INTO s VALUES (1)"])
        .await;
    let mut client = client(&server).await;
    let bounded = client
        .execute(
            "SELECT value FROM generate_series(1, 3000000) AS g(value)".to_owned(),
            None,
        )
        .await
        .unwrap();
    let live = client
        .execute("SELECT n FROM s EMIT CHANGES".to_owned(), None)
        .await
        .unwrap();
    let mut live = client.do_get(ticket(&live)).await.unwrap();
    assert!(live.try_next().await.unwrap().is_some());
    let stopping = tokio::task::spawn_blocking(move || server.stop());
    let ended = loop {
        match live.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a live query does not end as if it were whole"),
            Err(error) => break error,
        }
    };
    assert!(ended.to_string().contains("shutting down"), "{ended}");
    let refused = client
        .execute("SELECT 1".to_owned(), None)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("shutting down"), "{refused}");
    let batches: Vec<RecordBatch> = client
        .do_get(ticket(&bounded))
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 3_000_000);
    stopping.await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_is_refused_by_name() {
    let server = Server::builder().flight().start();
    let mut client = client(&server).await;
    let inner = client.inner_mut();
    let refused = [
        inner
            .list_flights(arrow_flight::Criteria::default())
            .await
            .err(),
        inner
            .do_action(arrow_flight::Action::new("CreatePreparedSubstraitPlan", ""))
            .await
            .err(),
        inner
            .do_exchange(futures::stream::iter([arrow_flight::FlightData::default()]))
            .await
            .err(),
    ];
    for status in refused {
        let status = status.expect("a refusal");
        assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
        assert!(status.message().contains("not supported"), "{status:?}");
    }
    server.stop();
}
