//! The log as a Kafka broker, against a real Apache Kafka 4 with the same clients: Kafka's own performance tools.
//!
//! Both brokers run alone, one after the other, on the same disk. Kafka acknowledges from the page cache, as it does by
//! default; Weir when the records are on disk. What a broker costs is the time on the processor that Linux counts for it,
//! and the most memory that it had resident; a JVM takes what it is given, which is 1 GB here.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use weir_tests::{binary, process};

use crate::Bench;
use crate::processor::processor_seconds;
use crate::report::{Promise, Report};

/// What is sent.
#[derive(Clone, Copy)]
struct Load {
    /// Of a record's value.
    bytes: u64,
    codec: &'static str,
    keyed: bool,
    records: u64,
}

impl Load {
    fn topic(&self) -> String {
        let keyed = if self.keyed { "-keyed" } else { "" };
        format!("load-{}-{}{keyed}", self.bytes, self.codec)
    }

    fn label(&self) -> String {
        let keyed = if self.keyed { ", keyed" } else { "" };
        format!("log, {} B a record, {}{keyed}", self.bytes, self.codec)
    }

    fn gb(&self) -> f64 {
        (self.bytes * self.records) as f64 / 1e9
    }
}

/// What a broker did with a load.
struct Outcome {
    produced_mb: f64,
    consumed_mb: f64,
    /// Seconds on the processor to take the load, and to give it.
    taking: f64,
    giving: f64,
}

impl Outcome {
    fn processor(&self) -> f64 {
        self.taking + self.giving
    }
}

/// A broker to measure.
struct Broker {
    name: &'static str,
    address: String,
    pid: u32,
}

/// Kafka, until it is dropped.
struct Kafka {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn run(bench: &Bench, report: &mut Report) {
    let jars = match jars(&bench.data) {
        Ok(jars) => jars,
        Err(why) => return report.not_measured("the log, against Apache Kafka", why),
    };
    let records = |full| bench.choose(full, full / 20);
    let mut loads = Vec::new();
    for (bytes, full) in [(100, 10_000_000), (1000, 2_000_000)] {
        for codec in ["none", "zstd"] {
            for keyed in [false, true] {
                loads.push(Load {
                    bytes,
                    codec,
                    keyed,
                    records: records(full),
                });
            }
        }
    }
    let plain = Load {
        bytes: 1000,
        codec: "none",
        keyed: false,
        records: records(2_000_000),
    };
    let latency_records = records(100_000);
    let measure = |broker: &Broker| {
        // The tools' own JVM warms up, and the broker with it.
        produce(&jars, broker, "warm", &plain, 200_000, -1);
        let outcomes: Vec<Outcome> = loads
            .iter()
            .map(|load| outcome(&jars, broker, load))
            .collect();
        let steady = produce(&jars, broker, "steady", &plain, latency_records, 5000);
        let memory = process::peak_resident_bytes(broker.pid);
        (outcomes, steady, memory)
    };

    let (theirs, their_latency, their_memory) = {
        let (kafka, address) = match start_kafka(&jars, &bench.data) {
            Ok(started) => started,
            Err(why) => return report.not_measured("the log, against Apache Kafka", why),
        };
        measure(&Broker {
            name: "Kafka",
            address,
            pid: kafka.child.id(),
        })
    };
    let (ours, our_latency, our_memory, unsynced, unsynced_latency) = {
        let folder = tempfile::tempdir_in(&bench.data).expect("the data folder is writable");
        let server = bench.server().kafka().data_dir(folder.path()).start();
        let broker = Broker {
            name: "Weir",
            address: server.kafka(),
            pid: server.pid(),
        };
        let (outcomes, steady, memory) = measure(&broker);
        create_unsynced(&jars, &broker, "unsynced");
        let unsynced = produce(&jars, &broker, "unsynced", &plain, plain.records, -1);
        let unsynced_latency = produce(&jars, &broker, "unsynced", &plain, latency_records, 5000);
        server.stop();
        (outcomes, steady, memory, unsynced, unsynced_latency)
    };

    for ((load, ours), theirs) in loads.iter().zip(&ours).zip(&theirs) {
        let label = load.label();
        for (what, mine, other) in [
            ("produced", ours.produced_mb, theirs.produced_mb),
            ("consumed", ours.consumed_mb, theirs.consumed_mb),
        ] {
            report.add(
                format!("{label}: {what}"),
                mine,
                "MB/s",
                Promise::AtLeast(other),
            );
        }
        let share = ours.processor() / theirs.processor();
        let costs = format!(
            "  processor seconds a GB, to Kafka's (taking {:.2} to {:.2}, giving {:.2} to {:.2})",
            ours.taking / load.gb(),
            theirs.taking / load.gb(),
            ours.giving / load.gb(),
            theirs.giving / load.gb()
        );
        report.add(costs, share, "×", Promise::Below(1.0 / 3.0));
    }
    let like = loads
        .iter()
        .zip(&theirs)
        .find(|(load, _)| load.topic() == plain.topic());
    report.add(
        format!("{}: produced, with flush.ms = 1000", plain.label()),
        unsynced.mb_a_second,
        "MB/s",
        like.map_or(Promise::None, |(_, theirs)| {
            Promise::AtLeast(theirs.produced_mb)
        }),
    );
    report.add(
        "log, 5,000 records/s of 1,000 B, acks=all: p99",
        our_latency.p99_ms,
        "ms",
        Promise::Below(their_latency.p99_ms),
    );
    report.add(
        "  with flush.ms = 1000",
        unsynced_latency.p99_ms,
        "ms",
        Promise::Below(their_latency.p99_ms),
    );
    let memory = our_memory as f64 / their_memory as f64;
    let label = format!(
        "log, peak memory to Kafka's ({} to {} MB)",
        our_memory >> 20,
        their_memory >> 20
    );
    report.add(label, memory, "×", Promise::Below(0.1));
}

fn outcome(jars: &Path, broker: &Broker, load: &Load) -> Outcome {
    let topic = load.topic();
    let before = processor_seconds(broker.pid);
    let produced = produce(jars, broker, &topic, load, load.records, -1);
    let between = processor_seconds(broker.pid);
    let consumed_mb = consume(jars, broker, &topic, load.records);
    let after = processor_seconds(broker.pid);
    let (taking, giving) = (between - before, after - between);
    eprintln!(
        "  {}, {topic}: {:.0} MB/s in at {taking:.1} s, {consumed_mb:.0} MB/s out at {giving:.1} s",
        broker.name, produced.mb_a_second
    );
    Outcome {
        produced_mb: produced.mb_a_second,
        consumed_mb,
        taking,
        giving,
    }
}

/// A topic that acknowledges what is written, and is synced within a second, as Kafka's are within what Linux chooses.
fn create_unsynced(jars: &Path, broker: &Broker, topic: &str) {
    let output = tool(jars, "org.apache.kafka.tools.TopicCommand")
        .args(["--bootstrap-server", &broker.address])
        .args(["--create", "--topic", topic, "--config", "flush.ms=1000"])
        .output()
        .expect("Java runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {said}", broker.name);
}

struct Produced {
    mb_a_second: f64,
    p99_ms: f64,
}

/// Kafka's `ProducerPerformance`, or with keys our own: as fast as it goes, or at so many records a second.
fn produce(
    jars: &Path,
    broker: &Broker,
    topic: &str,
    load: &Load,
    records: u64,
    rate: i64,
) -> Produced {
    let (records, bytes) = (records.to_string(), load.bytes.to_string());
    let settings = [
        format!("bootstrap.servers={}", broker.address),
        "acks=all".to_owned(),
        "batch.size=131072".to_owned(),
        "linger.ms=5".to_owned(),
        format!("compression.type={}", load.codec),
    ];
    let mut command = if load.keyed {
        let source = binary::workspace().join("benches/kafka/KeyedProducer.java");
        let mut command = java(jars);
        command.arg(source).args([topic, &records, &bytes]);
        command
    } else {
        let mut command = tool(jars, "org.apache.kafka.tools.ProducerPerformance");
        command
            .args(["--topic", topic])
            .args(["--num-records", &records])
            .args(["--record-size", &bytes])
            .args(["--throughput", &rate.to_string()])
            .arg("--producer-props");
        command
    };
    let output = command.args(settings).output().expect("Java runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = said.lines().last().unwrap_or_default();
    let number_before = |unit: &str| -> f64 {
        let words = last
            .split(unit)
            .next()
            .and_then(|front| front.split_whitespace().last());
        let word = words.unwrap_or_default().trim_start_matches('(');
        word.parse().unwrap_or_else(|_| {
            panic!(
                "{}: {said}\n{}",
                broker.name,
                String::from_utf8_lossy(&output.stderr)
            )
        })
    };
    Produced {
        mb_a_second: number_before(" MB/sec"),
        p99_ms: number_before(" ms 99th"),
    }
}

/// Kafka's `ConsumerPerformance`; megabytes a second while it fetches.
fn consume(jars: &Path, broker: &Broker, topic: &str, records: u64) -> f64 {
    let output = tool(jars, "org.apache.kafka.tools.ConsumerPerformance")
        .args(["--topic", topic])
        .args(["--messages", &records.to_string()])
        .args(["--bootstrap-server", &broker.address])
        .arg("--hide-header")
        .output()
        .expect("Java runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
    let line = said
        .lines()
        .rev()
        .find(|line| line.split(',').count() >= 10);
    let field = line.and_then(|line| line.split(',').nth(8)?.trim().parse().ok());
    field.unwrap_or_else(|| {
        panic!(
            "{}: {said}\n{}",
            broker.name,
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn tool(jars: &Path, class: &str) -> Command {
    let mut command = java(jars);
    command.arg(class);
    command
}

fn java(jars: &Path) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-cp"]).arg(jars.join("*"));
    command
}

/// Kafka and its tools, from Maven Central.
fn jars(data: &Path) -> Result<PathBuf, String> {
    let jars = data.join("kafka-jars");
    if jars.join("complete").is_file() {
        return Ok(jars);
    }
    let pom = binary::workspace().join("benches/kafka/pom.xml");
    let output = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "--file"])
        .arg(pom)
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .output()
        .map_err(|error| format!("Maven cannot be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        let first = said.lines().next().unwrap_or_default();
        return Err(format!("Maven Central gave no Kafka: {first}"));
    }
    std::fs::write(jars.join("complete"), "").map_err(|error| error.to_string())?;
    Ok(jars)
}

/// One node of Kafka, in KRaft mode.
fn start_kafka(jars: &Path, data: &Path) -> Result<(Kafka, String), String> {
    let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let folder = tempfile::tempdir_in(data).map_err(failed("no folder for Kafka"))?;
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0");
        listener.and_then(|listener| Ok(listener.local_addr()?.port()))
    };
    let broker = free().map_err(failed("no port for Kafka"))?;
    let controller = free().map_err(failed("no port for Kafka"))?;
    let config = folder.path().join("server.properties");
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\nnum.partitions=1\noffsets.topic.replication.factor=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n",
        folder.path().join("log").display()
    );
    std::fs::write(&config, text).map_err(failed("Kafka's configuration"))?;
    let formatted = tool(jars, "kafka.tools.StorageTool")
        .args([
            "format",
            "--standalone",
            "-t",
            "MkU3OEVBNTcwNTJENDM2Qk",
            "-c",
        ])
        .arg(&config)
        .output()
        .map_err(failed("Java cannot be run"))?;
    if !formatted.status.success() {
        return Err(format!(
            "Kafka cannot format its folder: {}",
            String::from_utf8_lossy(&formatted.stderr)
        ));
    }
    let mut command = Command::new("java");
    command
        .args(["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-cp"])
        .arg(jars.join("*"))
        .arg("kafka.Kafka")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = process::spawn(&mut command).map_err(failed("Java cannot be run"))?;
    let kafka = Kafka {
        child,
        _folder: folder,
    };
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", broker)).is_err() {
        if started.elapsed() > Duration::from_secs(60) {
            return Err("Kafka did not start within a minute".to_owned());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok((kafka, format!("127.0.0.1:{broker}")))
}
