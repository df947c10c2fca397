//! The 22 queries of TPC-H, over tables whose rows come, change and go.
//!
//! The tables are small, and their words are mostly those that the queries ask for, so that each query has an answer. What is
//! written depends on the seed alone.

mod data;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use weir_tests::queries::{Query, queries_of};
use weir_tests::{Client, Server};

use super::{check, create};
use data::{Data, TABLES};

/// What a round changes besides the orders that it brings. `{n}` is the round's number.
const CHANGES: [&str; 12] = [
    "UPDATE lineitem SET l_quantity = l_quantity + 1, l_discount = 0.06 WHERE (l_orderkey + {n}) % 5 = 0",
    "UPDATE lineitem SET l_receiptdate = l_receiptdate + INTERVAL '20' DAY, l_returnflag = 'R' WHERE (l_orderkey + {n}) % 9 = 0",
    "DELETE FROM lineitem WHERE (l_orderkey * 3 + l_linenumber + {n}) % 17 = 0",
    "UPDATE orders SET o_orderstatus = 'F', o_orderpriority = '1-URGENT' WHERE (o_orderkey + {n}) % 6 = 0",
    "DELETE FROM orders WHERE (o_orderkey + {n}) % 23 = 0",
    "UPDATE customer SET c_acctbal = c_acctbal - 1000.50, c_nationkey = (c_nationkey + 1) % 25 WHERE (c_custkey + {n}) % 11 = 0",
    "DELETE FROM customer WHERE (c_custkey + {n}) % 31 = 0",
    "UPDATE supplier SET s_comment = 'Customer said: Complaints', s_acctbal = -s_acctbal WHERE (s_suppkey + {n}) % 7 = 0",
    "UPDATE part SET p_size = 15, p_type = 'LARGE BRUSHED BRASS' WHERE (p_partkey + {n}) % 13 = 0",
    "UPDATE partsupp SET ps_supplycost = ps_supplycost * 1.1, ps_availqty = ps_availqty / 2 WHERE (ps_partkey + {n}) % 4 = 0",
    "DELETE FROM partsupp WHERE (ps_partkey * 5 + ps_suppkey + {n}) % 19 = 0",
    "UPDATE nation SET n_regionkey = (n_regionkey + 1) % 5 WHERE n_nationkey = {n}",
];

async fn feed(client: &Client, rows: Vec<(&'static str, String)>) {
    for (table, rows) in rows {
        client.ingest(table, rows).await.expect("rows are taken");
    }
}

async fn change(client: &Client, round: u32) {
    for sql in CHANGES {
        client
            .run(&[sql.replace("{n}", &round.to_string()).as_str()])
            .await;
    }
}

async fn check_rows(client: &Client, queries: &[Query]) {
    for Query { name, .. } in queries {
        let rows = client.number(&format!("SELECT count(*) FROM {name}")).await;
        assert!(rows > 0, "{name} has no rows to be compared");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_tpc_h_is_followed() {
    let server = Server::start();
    let client = server.client();
    client.run(&TABLES).await;
    let queries = queries_of("benches/tpch");
    assert_eq!(queries.len(), 22);
    create(&client, "", &queries).await;
    check(&client, "", &queries).await;
    let mut data = Data::new(SmallRng::seed_from_u64(22));
    let parts = data.parts();
    feed(&client, parts).await;
    let orders = data.orders(300);
    feed(&client, orders).await;
    check(&client, "", &queries).await;
    check_rows(&client, &queries).await;
    for round in 0..2 {
        let orders = data.orders(60);
        feed(&client, orders).await;
        change(&client, round).await;
        check(&client, "", &queries).await;
    }
    create(&client, "late_", &queries).await;

    let server = server.stop().start();
    let client = server.client();
    check(&client, "", &queries).await;
    change(&client, 2).await;
    check(&client, "", &queries).await;
    check(&client, "late_", &queries).await;
    check_rows(&client, &queries).await;
    server.stop();
}
