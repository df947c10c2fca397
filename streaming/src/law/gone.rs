//! Who has an answer, and wants only what changes: refused where the rows that the answer rests on are gone.

use weir_topics::{Cleanup, TopicConfig};

use super::World;
use crate::Error;

#[tokio::test]
async fn an_answer_is_not_gone_on_with_when_its_rows_are_gone() {
    let world = World::new([1, 1]).await;
    let topic = world.tables[0].topic().clone();
    let compact = TopicConfig {
        cleanup: Cleanup::Compact,
        segment_bytes: Some(400),
        ..TopicConfig::default()
    };
    world.log.configure(topic.id(), compact).await.unwrap();
    let sql = "SELECT v, count(*) FROM t GROUP BY v";
    let rounds = async |from: i64| {
        for v in from..from + 20 {
            world.upsert(0, &[(v % 3, Some(v), Some("yz"))]).await;
        }
    };
    rounds(0).await;
    let (mut dataflow, _) = world.dataflow_with(sql, None).await;
    dataflow.step().await.unwrap();
    let token = dataflow.token();
    let resumed = async || {
        let (mut other, _) = world.dataflow_with(sql, None).await;
        other.resume(&token)
    };
    rounds(20).await;
    resumed().await.unwrap();
    world.log.maintain(1_000_000).await.unwrap();
    let at = token.position.topic(topic.name()).unwrap()[0];
    assert!(topic.partitions()[0].compacted_offset() > at);
    let error = resumed().await.unwrap_err();
    assert!(matches!(error, Error::AnswerGone(_)), "{error}");
    // One that is there is gone on with.
    dataflow.step().await.unwrap();
    let (mut other, _) = world.dataflow_with(sql, None).await;
    other.resume(&dataflow.token()).unwrap();
}
