//! What waits for the end of its window, and that it is freed then.

use super::law::{Base, Choice, Kind, Multiset, Row, Window, World, count};

/// Windows over stream `a`, of which nothing else is asked than one of the queries.
fn choice_of(query: usize, kind: Kind) -> Choice {
    let window = Window {
        kind,
        base: Base::Stream(0),
    };
    Choice {
        query,
        w: window,
        x: window,
    }
}

#[tokio::test]
async fn windows_that_have_closed_are_freed() {
    for (query, kind) in [
        (0, Kind::Tumble),
        (1, Kind::Hop),
        (3, Kind::Tumble),
        (2, Kind::Session),
    ] {
        let world = World::new([2, 1]).await;
        let choice = choice_of(query, kind);
        let store = Some(world.checkpoints.of(1, 0).await.unwrap());
        let mut dataflow = world.dataflow(&choice, store).await;
        let mut most = 0;
        for round in 0..60 {
            let rows = (0..40).map(|n| (n, n % 5, Some(round * 20 + n / 10)));
            let rows: Vec<Row> = rows.collect();
            world.append(0, &rows).await;
            dataflow.step().await.unwrap();
            dataflow.checkpoint(1).await.unwrap();
            let state = dataflow.state_size();
            assert_eq!(state.unsaved, 0);
            if round < 20 {
                most = most.max(state.rows);
            }
            assert!(
                state.rows <= most * 2,
                "{kind:?}: {} of {most} in round {round}",
                state.rows
            );
        }
        assert!(most > 0, "{kind:?}: nothing waits");
    }
}

#[tokio::test]
async fn rows_of_joins_are_freed_when_all_that_comes_of_them_is_late() {
    for kind in [Kind::Tumble, Kind::Session] {
        for released in [false, true] {
            let world = World::new([2, 1]).await;
            let window = Window {
                kind,
                base: Base::Interval,
            };
            let choice = Choice {
                query: 0,
                w: window,
                x: window,
            };
            let store = Some(world.checkpoints.of(1, 0).await.unwrap());
            let mut dataflow = world.dataflow(&choice, store).await;
            let mut most = 0;
            let mut given = 0;
            for round in 0..60 {
                for stream in [0, 1] {
                    let rows = (0..20).map(|n| (n, n % 5, Some(round * 20 + n)));
                    let rows: Vec<Row> = rows.collect();
                    world.append(stream, &rows).await;
                }
                given += dataflow.step().await.unwrap().rows();
                dataflow.checkpoint(1).await.unwrap();
                if released {
                    dataflow.release();
                }
                let state = dataflow.state_size();
                if round < 20 {
                    most = most.max(state.rows);
                }
                assert!(
                    state.rows <= most * 2,
                    "{kind:?}: {} of {most} in round {round}\n{}",
                    state.rows,
                    dataflow.explain()
                );
            }
            assert!(given > 0, "{kind:?}: nothing is given");
        }
    }
}

#[tokio::test]
async fn a_large_window_is_kept_as_its_groups() {
    let world = World::new([1, 1]).await;
    let choice = choice_of(0, Kind::Tumble);
    let mut dataflow = world.dataflow(&choice, None).await;
    for round in 0..40 {
        let rows: Vec<Row> = (0..200).map(|n| (n, n % 5, Some(round % 3))).collect();
        world.append(0, &rows).await;
        dataflow.step().await.unwrap();
    }
    assert!(dataflow.state_size().rows < 50, "{}", dataflow.explain());
    // A partition that says how far it is closes it: what came to 8000 rows.
    world.append(0, &[(1, 1, Some(100))]).await;
    let delta = dataflow.step().await.unwrap();
    let mut rows = Multiset::new();
    count(&delta.plus, 1, &mut rows);
    assert_eq!(
        rows.keys().next().unwrap(),
        "1970-01-01T00:00:10|8000|796000|0|4"
    );
}

#[tokio::test]
async fn what_waits_is_said() {
    let world = World::new([1, 1]).await;
    let shown = world.dataflow(&choice_of(10, Kind::Tumble), None).await;
    insta::assert_snapshot!(shown.explain());
    let mut joined = choice_of(0, Kind::Tumble);
    joined.w.base = Base::Interval;
    let shown = world.dataflow(&joined, None).await;
    let shown = shown.explain();
    for said in [
        "left side are freed when the watermark has passed at by 10 s",
        "right side are freed when the watermark has passed at by 15 s",
    ] {
        assert!(shown.contains(said), "{shown}");
    }
    let shown = world.dataflow(&choice_of(0, Kind::Tumble), None).await;
    insta::assert_snapshot!(shown.explain());
}
