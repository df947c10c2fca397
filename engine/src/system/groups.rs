//! `weir.consumer_groups`: what reads the topics over the Kafka protocol, and how far it is.

use datafusion::common::Result;
use weir_base::{Offset, PartitionId, TopicId};
use weir_topics::TopicLog;

use super::System;
use super::rows::{Definition, Rows, Type, Value, int};
use super::tables::partition_number;
use Type::{BigInt, Int, Text, Time};

/// A consumer group.
#[derive(Debug, Clone)]
pub(crate) struct GroupFacts {
    pub(crate) id: String,
    /// Kafka's name for what it is doing.
    pub(crate) state: &'static str,
    pub(crate) members: usize,
    pub(crate) committed: Vec<CommittedFacts>,
}

/// Up to where a group has read a partition.
#[derive(Debug, Clone)]
pub(crate) struct CommittedFacts {
    pub(crate) topic: TopicId,
    pub(crate) partition: PartitionId,
    /// Of the next record that it reads.
    pub(crate) offset: Offset,
    pub(crate) at_ms: i64,
}

/// The facts of all groups of a log, in order of id.
pub(super) fn group_facts(log: &TopicLog) -> Vec<GroupFacts> {
    let groups = log.groups();
    let facts = groups.list().into_iter().map(|summary| {
        let committed = groups.committed(&summary.group_id).into_iter();
        GroupFacts {
            state: summary.state.name(),
            members: groups.describe(&summary.group_id).members.len(),
            committed: committed
                .map(|(topic, partition, committed)| CommittedFacts {
                    topic,
                    partition,
                    offset: committed.offset,
                    at_ms: committed.committed_at_ms,
                })
                .collect(),
            id: summary.group_id,
        }
    });
    facts.collect()
}

pub(super) static CONSUMER_GROUPS: Definition = Definition {
    name: "consumer_groups",
    columns: &[
        ("group", Text),
        ("state", Text),
        ("members", Int),
        ("topic", Text),
        ("partition", Int),
        ("committed_offset", BigInt),
        ("end_offset", BigInt),
        ("lag", BigInt),
        ("committed_at", Time),
    ],
    fill: consumer_groups,
};

/// A row for each partition that a group has committed, and one for a group that has committed none.
fn consumer_groups(system: &System, rows: &mut Rows) -> Result<()> {
    let topics = system.facts.topics(false);
    for group in system.facts.groups() {
        let members = int(group.members);
        if group.committed.is_empty() {
            rows.push([
                ("group", group.id.as_str().into()),
                ("state", group.state.into()),
                ("members", members),
            ])?;
            continue;
        }
        for committed in &group.committed {
            let topic = topics.iter().find(|topic| topic.id == committed.topic);
            let partition = topic.and_then(|topic| {
                let mut partitions = topic.partitions.iter();
                partitions.find(|partition| partition.id == committed.partition)
            });
            // What is gone by retention is not to be read any more.
            let lag = partition.map(|partition| {
                let next = committed.offset.0.max(partition.start_offset.0);
                partition.end_offset.0.saturating_sub(next).max(0)
            });
            let end_offset = partition.map(|partition| partition.end_offset.0);
            rows.push([
                ("group", group.id.as_str().into()),
                ("state", group.state.into()),
                ("members", members.clone()),
                ("topic", topic.map(|topic| topic.name.to_string()).into()),
                ("partition", partition_number(committed.partition.0)),
                ("committed_offset", Value::BigInt(committed.offset.0)),
                ("end_offset", end_offset.into()),
                ("lag", lag.into()),
                ("committed_at", Value::Time(committed.at_ms)),
            ])?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{assert_shows, system};
    use super::*;

    /// A group that reads both partitions of `topic`, of which one lost rows to retention, and one without offsets.
    pub(in super::super) fn groups(topic: TopicId) -> Vec<GroupFacts> {
        let committed = |partition, offset| CommittedFacts {
            topic,
            partition: PartitionId(partition),
            offset: Offset(offset),
            at_ms: 1_700_000_000_000,
        };
        let group = |id: &str, state, members, committed| GroupFacts {
            id: id.to_owned(),
            state,
            members,
            committed,
        };
        vec![
            group(
                "billing",
                "Stable",
                2,
                vec![committed(0, 100), committed(1, 3)],
            ),
            group("idle", "Empty", 0, Vec::new()),
        ]
    }

    #[test]
    fn groups_show_what_they_have_yet_to_read() {
        let batch = CONSUMER_GROUPS.batch(&system()).unwrap();
        assert_shows(
            &batch,
            "
+---------+--------+---------+-------+-----------+------------------+------------+-----+----------------------+
| group   | state  | members | topic | partition | committed_offset | end_offset | lag | committed_at         |
+---------+--------+---------+-------+-----------+------------------+------------+-----+----------------------+
| billing | Stable | 2       | bids  | 0         | 100              | 110        | 10  | 2023-11-14T22:13:20Z |
| billing | Stable | 2       | bids  | 1         | 3                | 30         | 20  | 2023-11-14T22:13:20Z |
| idle    | Empty  | 0       |       |           |                  |            |     |                      |
+---------+--------+---------+-------+-----------+------------------+------------+-----+----------------------+",
        );
    }
}
