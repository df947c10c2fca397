//! Apache Superset: a database, a dataset of a view that a stream keeps, and a chart of it in a real browser.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use weir_tests::{Server, binary, foreign, logs, process, python};

/// How long it may take to make its tables and start, on a busy machine.
const START: Duration = Duration::from_secs(300);

/// A Superset with an empty database of its own; it ends when dropped.
struct Superset {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Superset {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut command = Command::new(python::program_in("superset", "python"));
        command
            .arg(python::script("superset_server.py"))
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("NO_PROXY", "*");
        let mut child = process::spawn(&mut command).expect("python can be run");
        let output = logs::Lines::collect(child.stdout.take().expect("stdout is piped"));
        let errors = logs::Lines::collect(child.stderr.take().expect("stderr is piped"));
        let url = weir_tests::wait::within(START, "Superset names its address", async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("Superset ended ({status}):\n{}", errors.finish().join("\n"));
            }
            output
                .find(|line| line.starts_with("http://").then(|| line.to_owned()))
                .ok_or_else(|| errors.now().join("\n"))
        })
        .await;
        Self {
            child,
            url,
            _folder: folder,
        }
    }
}

impl Drop for Superset {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `WEIR_PICTURES=1` makes the guide's picture anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_chart_of_a_view_is_drawn() {
    let server = Server::builder().postgres().start();
    let client = server.client();
    for statement in [
        "CREATE STREAM bids (auction TEXT, price BIGINT, at TIMESTAMP)",
        "CREATE MATERIALIZED VIEW by_auction AS SELECT auction, date_trunc('minute', at) AS minute, count(*) AS bids, max(price) AS highest \
         FROM bids GROUP BY 1, 2",
        "INSERT INTO bids VALUES ('chair', 1, '2024-01-01 10:00:01'), ('chair', 5, '2024-01-01 10:00:11'), ('chair', 7, '2024-01-01 10:01:01'), \
         ('lamp', 3, '2024-01-01 10:00:31'), ('lamp', 4, '2024-01-01 10:00:41'), ('lamp', 5, '2024-01-01 10:02:01'), \
         ('lamp', 9, '2024-01-01 10:02:02'), ('vase', 1, '2024-01-01 10:01:01'), ('vase', 2, '2024-01-01 10:01:02'), \
         ('vase', 3, '2024-01-01 10:01:03'), ('vase', 4, '2024-01-01 10:01:04'), ('vase', 6, '2024-01-01 10:01:05')",
        "FLUSH",
    ] {
        client.sql(statement).await.expect("it is carried out");
    }
    let superset = Superset::start().await;
    let picture = binary::workspace()
        .join("docs/connect/superset.png")
        .display()
        .to_string();
    let postgres = server.postgres();
    let mut arguments = vec![superset.url.as_str(), postgres.as_str()];
    if std::env::var_os("WEIR_PICTURES").is_some() {
        arguments.push(&picture);
    }
    let said = foreign::node("../browser/superset.js", &arguments);
    assert!(said.ends_with("ok\n"), "{said}");
    server.stop();
}
