//! The Flight door: unmodified drivers find all that they need, and what is no Flight client harms nobody.

mod bounds;
mod hostile;
mod protocol;
mod users;

use arrow_flight::sql::client::FlightSqlServiceClient;
use tonic::transport::{Channel, Endpoint};
use weir_tests::{Server, foreign, python};

/// A client of arrow-rs.
pub(crate) async fn client(server: &Server) -> FlightSqlServiceClient<Channel> {
    let address = format!("http://{}", server.flight());
    let channel = Endpoint::from_shared(address)
        .expect("an address")
        .connect()
        .await
        .expect("the door is open");
    FlightSqlServiceClient::new(channel)
}

#[tokio::test(flavor = "multi_thread")]
async fn adbc_finds_all_that_it_needs() {
    let server = Server::builder().flight().start();
    let said = python::run("flight_adbc.py", &[&server.flight()]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn pyarrow_finds_all_that_it_needs() {
    let server = Server::builder().flight().start();
    let said = python::run("flight_pyarrow.py", &[&server.flight()]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn jdbc_finds_all_that_it_needs() {
    let server = Server::builder().flight().start();
    let said = foreign::java("FlightSqlJdbc.java", &[&server.flight()]);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}
