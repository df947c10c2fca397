//! Random producers against a model: what is committed is seen, once and in order, and nothing else; through timeouts, fenced
//! producers and restarts.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A producer comes for an id, and fences the one before.
    Come(usize),
    /// A record of the id's transaction.
    Write(usize, u32),
    /// A record of the producer before.
    WriteFenced(usize, u32),
    /// A record of no transaction.
    WritePlain(u32),
    CommitOffset(usize),
    End(usize, Outcome),
    /// The answer to an end was lost, and it is asked again.
    EndAgain(usize),
    Pass(i64),
    Restart {
        clean: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = || prop_oneof![2 => Just(Outcome::Commit), 1 => Just(Outcome::Abort)];
    prop_oneof![
        2 => (0..IDS).prop_map(Step::Come),
        10 => (0..IDS, 0..2u32).prop_map(|(id, partition)| Step::Write(id, partition)),
        2 => (0..IDS, 0..2u32).prop_map(|(id, partition)| Step::WriteFenced(id, partition)),
        2 => (0..2u32).prop_map(Step::WritePlain),
        3 => (0..IDS).prop_map(Step::CommitOffset),
        6 => (0..IDS, outcome()).prop_map(|(id, outcome)| Step::End(id, outcome)),
        2 => (0..IDS).prop_map(Step::EndAgain),
        2 => (1..70_000i64).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(|clean| Step::Restart { clean }),
    ]
}

const IDS: usize = 3;

/// What the model knows of an id. Ids 0 and 1 follow the rules of V2.
#[derive(Debug, Default)]
struct Model {
    producer: Option<ProducerEpoch>,
    fenced: Option<ProducerEpoch>,
    /// The next number in each partition.
    sequences: HashMap<u32, i32>,
    /// The number of the open transaction, and when it began.
    open: Option<(usize, i64)>,
    offset: Option<i64>,
    /// The last end: who asked, and for what.
    ended: Option<(ProducerEpoch, Outcome)>,
}

#[derive(Debug, Default)]
struct World {
    ids: [Model; IDS],
    /// How each transaction has ended; number 0 is that of plain records.
    outcomes: Vec<Option<Outcome>>,
    rows: [BTreeMap<i64, (usize, String)>; 2],
    committed: Option<i64>,
    written: i64,
}

impl World {
    fn begin(&mut self, id: usize, now_ms: i64) -> usize {
        let number = self.outcomes.len();
        let model = &mut self.ids[id];
        let (number, _) = *model.open.get_or_insert((number, now_ms));
        if number == self.outcomes.len() {
            self.outcomes.push(None);
        }
        number
    }

    fn end(&mut self, id: usize, outcome: Outcome) {
        let model = &mut self.ids[id];
        let offset = model.offset.take();
        if let Some((number, _)) = model.open.take() {
            self.outcomes[number] = Some(outcome);
            if outcome == Outcome::Commit && offset.is_some() {
                self.committed = offset;
            }
        }
    }

    /// What the producer has from now on.
    fn become_producer(&mut self, id: usize, producer: ProducerEpoch) {
        let model = &mut self.ids[id];
        if model.producer != Some(producer) {
            model.fenced = model.producer.replace(producer);
            model.sequences.clear();
        }
    }

    /// The end of what is decided in a partition that ends at `stable`.
    fn last_stable(&self, partition: usize, stable: i64) -> i64 {
        let mut rows = self.rows[partition].iter();
        let undecided = rows.find(|(_, (number, _))| self.outcomes[*number].is_none());
        undecided.map_or(stable, |(offset, _)| *offset)
    }

    fn seen(&self, partition: usize, end: i64) -> Vec<(i64, String)> {
        let rows = self.rows[partition].range(..end);
        let seen = rows.filter(|(_, (number, _))| self.outcomes[*number] == Some(Outcome::Commit));
        seen.map(|(offset, (_, value))| (*offset, value.clone()))
            .collect()
    }

    fn check(&self, log: &TopicLog, topic: &Topic) {
        for (at, partition) in topic.partitions().iter().enumerate() {
            let end = self.last_stable(at, partition.stable_offset().0);
            assert_eq!(partition.last_stable_offset().0, end);
            assert_eq!(rows(partition), self.seen(at, end));
        }
        assert_eq!(committed(log, "g"), self.committed);
        let pending = self.ids.iter().any(|id| id.offset.is_some());
        assert_eq!(log.groups().pending("g").is_empty(), !pending);
    }
}

fn version(id: usize) -> TransactionVersion {
    match id {
        0 | 1 => TransactionVersion::V2,
        _ => TransactionVersion::V1,
    }
}

fn who(id: usize, producer: ProducerEpoch) -> TransactionalProducer {
    TransactionalProducer {
        transactional_id: id.to_string(),
        producer,
    }
}

async fn act(world: &mut World, log: &TopicLog, topic: &Topic, clock: &ManualClock, step: Step) {
    let transactions = log.transactions();
    match step {
        Step::Come(id) => {
            let came = comes(log, &id.to_string()).await;
            world.end(id, Outcome::Abort);
            world.ids[id].ended = None;
            world.become_producer(id, came.producer);
        }
        Step::Write(id, number) => {
            let Some(producer) = world.ids[id].producer else {
                return;
            };
            let place = [(topic.id(), PartitionId(number))];
            let added = transactions
                .add_partitions(&who(id, producer), &place)
                .await;
            added.unwrap()[0].clone().unwrap();
            let transaction = world.begin(id, clock.now_ms());
            let sequence = world.ids[id].sequences.entry(number).or_default();
            let value = format!("{id}/{}", world.written);
            let partition = &topic.partitions()[number as usize];
            let offset = write(partition, producer, *sequence, &value).await.unwrap();
            *sequence += 1;
            world.written += 1;
            world.rows[number as usize].insert(offset.0, (transaction, value));
        }
        Step::WriteFenced(id, number) => {
            let Some(fenced) = world.ids[id].fenced else {
                return;
            };
            let partition = &topic.partitions()[number as usize];
            let refused = write(partition, fenced, 99, "never").await;
            assert!(matches!(
                refused,
                Err(Error::ProducerFenced { .. }
                    | Error::NotInTransaction { .. }
                    | Error::OutOfSequence { .. })
            ));
            let place = [(topic.id(), PartitionId(number))];
            let refused = transactions.add_partitions(&who(id, fenced), &place).await;
            assert!(refused.is_err());
        }
        Step::WritePlain(number) => {
            let mut builder = BatchBuilder::new();
            let value = format!("plain/{}", world.written);
            let record = RecordRef {
                value: Some(value.as_bytes()),
                ..RecordRef::default()
            };
            builder.push(record).unwrap();
            let appended = topic.partitions()[number as usize].append(builder.build(), None);
            let (offset, _) = appended.unwrap().durable().await.unwrap();
            world.written += 1;
            world.rows[number as usize].insert(offset.0, (0, value));
        }
        Step::CommitOffset(id) => {
            // One at a time, for the last to come counts.
            let others = world.ids.iter().enumerate();
            let taken = others
                .filter(|(other, _)| *other != id)
                .any(|(_, model)| model.offset.is_some());
            let Some(producer) = world.ids[id].producer.filter(|_| !taken) else {
                return;
            };
            if version(id) == TransactionVersion::V1 {
                transactions
                    .add_offsets(&who(id, producer), "g")
                    .await
                    .unwrap();
            }
            let request = offsets("g", topic.id(), world.written);
            let who = who(id, producer);
            let done = transactions.commit_offsets(&who, request, version(id));
            done.await.unwrap();
            world.begin(id, clock.now_ms());
            world.ids[id].offset = Some(world.written);
            world.written += 1;
        }
        Step::End(id, outcome) => {
            let Some(producer) = world.ids[id].producer else {
                return;
            };
            let ended = transactions
                .end(&who(id, producer), outcome, version(id))
                .await;
            if world.ids[id].open.is_none() {
                // V1 may have ended so before, and V2 may abort nothing.
                match ended {
                    Ok(next) if version(id) == TransactionVersion::V2 => {
                        assert_eq!(outcome, Outcome::Abort);
                        world.ids[id].ended = Some((producer, outcome));
                        world.become_producer(id, next);
                    }
                    Ok(_) => assert_eq!(world.ids[id].ended, Some((producer, outcome))),
                    Err(error) => {
                        assert!(matches!(error, Error::TransactionState { .. }), "{error}");
                    }
                }
                return;
            }
            world.end(id, outcome);
            world.ids[id].ended = Some((producer, outcome));
            world.become_producer(id, ended.unwrap());
        }
        Step::EndAgain(id) => {
            let model = &world.ids[id];
            if let Some((producer, outcome)) = model.ended.filter(|_| model.open.is_none()) {
                let again = transactions
                    .end(&who(id, producer), outcome, version(id))
                    .await;
                assert_eq!(again.ok(), model.producer);
            }
        }
        Step::Pass(ms) => {
            pass(log, clock, ms).await;
            for id in 0..IDS {
                let due = world.ids[id]
                    .open
                    .is_some_and(|(_, at_ms)| at_ms + 60_000 <= clock.now_ms());
                if due {
                    world.end(id, Outcome::Abort);
                    let model = &mut world.ids[id];
                    // A new producer has to come.
                    model.fenced = model.producer.take();
                    model.ended = None;
                    model.sequences.clear();
                }
            }
        }
        Step::Restart { .. } => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_committed_is_seen_once_and_nothing_else(steps in proptest::collection::vec(step(), 1..60)) {
        let (dir, clock) = (scratch(), Arc::new(ManualClock::at(1_000)));
        run(async {
            let mut log = open(dir.path(), &clock).await;
            let mut topic = bids(&log).await;
            let mut world = World {
                outcomes: vec![Some(Outcome::Commit)],
                ..World::default()
            };
            for step in steps {
                if let Step::Restart { clean } = step {
                    if clean {
                        log.close().await.unwrap();
                    }
                    // An end is answered before it is noted that it is complete.
                    for id in 0..IDS {
                        let transactions = log.transactions();
                        drop(transactions.0.turns.begin(&id.to_string()).await);
                    }
                    drop((topic, log));
                    log = open(dir.path(), &clock).await;
                    topic = bids(&log).await;
                }
                act(&mut world, &log, &topic, &clock, step).await;
                world.check(&log, &topic);
            }
            // All that is still open ends, and then all is decided.
            for id in 0..IDS {
                act(&mut world, &log, &topic, &clock, Step::Come(id)).await;
            }
            world.check(&log, &topic);
            for partition in topic.partitions() {
                prop_assert_eq!(partition.last_stable_offset(), partition.stable_offset());
            }
            Ok(())
        })?;
    }
}
