//! With every core busy, small questions are still answered.

use std::time::{Duration, Instant};

use reqwest::Method;
use weir_tests::{Server, wait};

use crate::SLOW;

/// A bound of sanity; `make bench` measures the promise of 100 ms on a machine of its own.
const BOUND: Duration = Duration::from_secs(5);

#[tokio::test]
async fn select_1_and_livez_answer_while_all_cores_are_busy() {
    let server = Server::start();
    let client = server.client();
    let cores = std::thread::available_parallelism().unwrap().get();
    let busy: Vec<_> = (0..cores * 2)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.sql(SLOW).await })
        })
        .collect();
    wait::eventually("they run", async || {
        let running = client.running("AS slow").await.len();
        wait::check(running >= cores, running)
    })
    .await;
    for _ in 0..10 {
        let started = Instant::now();
        let fresh = weir_tests::Client::new(server.url());
        assert_eq!(fresh.number("SELECT 1").await, 1);
        let response = fresh.send(fresh.request(Method::GET, "/livez")).await;
        assert_eq!(response.status(), 200);
        assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    }
    for query in busy {
        query.abort();
    }
    wait::eventually("they stop with their clients", async || {
        let running = client.running("AS slow").await;
        wait::check(running.is_empty(), format!("{running:?}"))
    })
    .await;
    server.stop();
}
