//! `kill -9` while Kafka clients are at work: each record that was acknowledged is there once, in order, at its offset.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use weir_tests::kafka::KafkaClient;
use weir_tests::{Server, binary, logs, process, python};

use crate::recovery::{random, rounds, server};

/// A record's place.
type Place = (i64, i64);

/// Lets the clients of a script work with a server that is killed again and again, each time after they said something that
/// begins with `word`; gives the last server, and all that they said.
async fn survive(script: &str, word: &str, random: &mut SmallRng) -> (Server, Vec<String>) {
    // The clients go on with the same address after each crash: one that the system gives to nobody meanwhile.
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = std::iter::repeat_with(|| random.random_range(20_000..30_000))
        .find(free)
        .unwrap();
    let address = format!("127.0.0.1:{port}");
    let mut running = server().arg("--kafka").arg(&address).start();

    let mut clients = Command::new(python::program("python"));
    clients
        .arg(binary::workspace().join("tests/python").join(script))
        .arg(&address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut clients = process::spawn(&mut clients).unwrap();
    let said = logs::Lines::collect(clients.stdout.take().unwrap());
    let count = || {
        said.now()
            .iter()
            .filter(|line| line.starts_with(word))
            .count()
    };
    for _ in 0..rounds().div_ceil(2) {
        let before = count();
        weir_tests::wait::eventually(&format!("a client says {word:?}"), async || {
            let now = count();
            weir_tests::wait::check(now > before, format!("{now} lines"))
        })
        .await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
        running = running.kill().start();
    }
    clients.stdin.take().unwrap().write_all(b"\n").unwrap();
    let ended = process::wait(&mut clients, Duration::from_secs(300), "the Kafka clients");
    let said = said.finish();
    assert!(ended.success(), "{:?}", said.last());
    assert_eq!(said.last().map(String::as_str), Some("end"));
    (running, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_kept_while_a_group_is_rebalanced() {
    let mut random = random("kafka::commits");
    let (running, said) = survive("kafka_members.py", "joined", &mut random).await;
    let mut sent: BTreeSet<i64> = BTreeSet::new();
    let mut read: BTreeMap<Place, i64> = BTreeMap::new();
    let mut committed: BTreeMap<i64, i64> = BTreeMap::new();
    let mut resumed: usize = 0;
    for line in &said {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        match words[0] {
            "ack" => {
                assert!(sent.insert(number(3)), "{line}");
            }
            "read" => {
                let (place, value) = ((number(1), number(2)), number(3));
                assert_eq!(*read.entry(place).or_insert(value), value, "{line}");
            }
            "commit" => {
                let last = committed.entry(number(1)).or_default();
                assert!(*last <= number(2), "{line}, after {last}");
                *last = number(2);
            }
            // A member that gets a partition goes on where the group is.
            "resume" => {
                let last = committed.get(&number(1)).copied().unwrap_or_default();
                assert!(last <= number(2), "{line}, after a commit of {last}");
                resumed += 1;
            }
            _ => {}
        }
    }
    assert!(resumed > 3, "{resumed}");
    let numbers: BTreeSet<i64> = read.values().copied().collect();
    assert_eq!(numbers, sent, "the group has read each");
    assert_eq!(read.len(), sent.len(), "and each is there once");
    let mut kafka = KafkaClient::connect(&running.kafka()).await.unwrap();
    for (partition, offset) in committed {
        let number = i32::try_from(partition).unwrap();
        let kept = kafka.committed("members", "shared", number).await.unwrap();
        assert!(
            kept >= offset,
            "{kept} of partition {partition}, not {offset}"
        );
    }
    running.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_records_are_there_once_and_in_order() {
    let mut random = random("kafka::acknowledged_records");
    let (running, said) = survive("kafka_survivor.py", "", &mut random).await;

    let mut acknowledged: BTreeMap<Place, i64> = BTreeMap::new();
    let mut read = BTreeSet::new();
    let mut sent = 0;
    for line in &said {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        match words[0] {
            "ack" => {
                let place = (number(1), number(2));
                assert_eq!(acknowledged.insert(place, number(3)), None, "{line}");
            }
            "read" => {
                read.insert(((number(1), number(2)), number(3)));
            }
            "sent" => sent = number(1),
            _ => {}
        }
    }
    let client = running.client();
    let rows = client
        .rows("SELECT _partition, _offset, CAST(CAST(_value AS TEXT) AS BIGINT) AS number FROM kept ORDER BY 1, 2");
    let rows = rows.await;
    let stored: BTreeMap<Place, i64> = rows
        .rows
        .iter()
        .map(|row| {
            let number = |at: usize| row[at].as_i64().unwrap();
            ((number(0), number(1)), number(2))
        })
        .collect();
    assert_eq!(stored, acknowledged);
    let numbers: BTreeSet<i64> = stored.values().copied().collect();
    assert_eq!(numbers, (0..sent).collect(), "each once");
    for partition in 0..3 {
        let places = stored.range((partition, 0)..(partition + 1, 0));
        let numbers: Vec<i64> = places.map(|(_, number)| *number).collect();
        assert!(numbers.is_sorted(), "in the order of the producer");
    }
    for (place, number) in &read {
        assert_eq!(stored.get(place), Some(number), "what was read is there");
    }
    running.stop();
}
