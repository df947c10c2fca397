//! The loop that writes events at a steady rate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{error, warn};
use uuid::Uuid;
use weir_base::{Classify, Kind, SqlState};
use weir_engine::{Ingest, IngestFormat, Session};

use super::generator::{Event, Generator, LastIds};
use super::{execute, failed};
use crate::error::{Error, Result};

const TICK: Duration = Duration::from_millis(50);
/// Rows that are at most made up for after a pause: a stopped machine does not wake up to a flood.
const OWED_MAX: Duration = Duration::from_secs(1);
/// The history that a first start writes: so much time, and at most so many rows.
const HISTORY: Duration = Duration::from_secs(600);
const HISTORY_ROWS: u64 = 20_000;
const RETRY: Duration = Duration::from_millis(500);

/// Writes events into the demo's streams.
#[derive(Debug)]
pub(super) struct Feed {
    session: Session,
    generator: Generator,
    rate: u32,
    run: Uuid,
    batches: u64,
}

/// Rows of one write, as NDJSON.
#[derive(Debug, Default)]
struct Batch {
    people: Vec<u8>,
    auctions: Vec<u8>,
    bids: Vec<u8>,
}

impl Feed {
    /// A feed of `rate` rows a second, all streams together.
    pub(super) fn new(session: Session, generator: Generator, rate: u32) -> Self {
        Self {
            session,
            generator,
            rate,
            run: Uuid::new_v4(),
            batches: 0,
        }
    }

    /// Writes the rows that would have come in the last minutes.
    pub(super) async fn write_history(&mut self) -> Result<()> {
        let rows = (HISTORY.as_secs() * u64::from(self.rate)).min(HISTORY_ROWS);
        let now_ms = now_ms();
        let step_ms = HISTORY.as_millis() as f64 / rows.max(1) as f64;
        let mut written = 0;
        while written < rows {
            let until = rows.min(written + 2_000);
            let mut batch = Batch::default();
            for row in written..until {
                let before_ms = ((rows - row) as f64 * step_ms) as i64;
                batch.push(&self.generator.event(now_ms - before_ms))?;
            }
            self.write(batch).await.map_err(|error| failed(&error))?;
            written = until;
        }
        Ok(())
    }

    /// Writes until it is told to stop, or until the streams are gone.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut pace = Pace::new(self.rate);
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = tick.tick() => {}
            }
            let rows = pace.owed(Instant::now());
            if rows == 0 {
                continue;
            }
            let now_ms = now_ms();
            let mut batch = Batch::default();
            for _ in 0..rows {
                if let Err(error) = batch.push(&self.generator.event(now_ms)) {
                    error!(%error, "the demo feed made an event that is no JSON");
                    return;
                }
            }
            if let Err(error) = self.write(batch).await {
                error!(%error, hint = error.hint(), "the demo feed has stopped; start again with --demo to go on");
                return;
            }
        }
    }

    /// People, then auctions, then bids, so that a bid never names somebody who is not there yet.
    async fn write(&mut self, batch: Batch) -> Result<(), weir_engine::Error> {
        self.batches += 1;
        for (stream, rows) in [
            ("people", batch.people),
            ("auctions", batch.auctions),
            ("bids", batch.bids),
        ] {
            if !rows.is_empty() {
                self.append(stream, Bytes::from(rows)).await?;
            }
        }
        Ok(())
    }

    /// Appends rows, again and again while the engine is busy; the key keeps them from being stored twice.
    async fn append(&self, stream: &str, body: Bytes) -> Result<(), weir_engine::Error> {
        let key = format!("demo-{}-{}", self.run.simple(), self.batches);
        let mut warned = false;
        loop {
            let ingest = Ingest {
                stream: stream.to_owned(),
                format: IngestFormat::Ndjson,
                body: body.clone(),
                idempotency_key: Some(key.clone()),
            };
            match self.session.ingest(ingest).await {
                Ok(_) => return Ok(()),
                Err(error)
                    if error.kind() == Kind::LimitExceeded
                        || error.sqlstate() == SqlState::DISK_FULL =>
                {
                    if !std::mem::replace(&mut warned, true) {
                        warn!(stream, %error, "the demo feed waits");
                    }
                    sleep(error.retry_after().unwrap_or(RETRY)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The largest ids in `people` and `auctions`, from the last rows of each: older rows have smaller ids.
pub(super) async fn last_ids(session: &Session) -> Result<LastIds> {
    Ok(LastIds {
        person: last_id(session, "people").await?,
        auction: last_id(session, "auctions").await?,
    })
}

async fn last_id(session: &Session, stream: &str) -> Result<i64> {
    let Some(offset) = number(session, &format!("SELECT max(_offset) FROM {stream}")).await? else {
        return Ok(0);
    };
    let from = (offset - 1_000).max(0);
    let sql = format!("SELECT max(id) FROM {stream} WHERE _offset >= {from}");
    Ok(number(session, &sql).await?.unwrap_or(0))
}

/// The one number that `sql` answers; nothing when it is NULL.
async fn number(session: &Session, sql: &str) -> Result<Option<i64>> {
    let batches = execute(session, sql).await?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return Ok(None);
    };
    let column = batch
        .column(0)
        .as_primitive_opt::<Int64Type>()
        .ok_or_else(|| Error::service("the demo: an id that is no BIGINT"))?;
    Ok(column.iter().next().flatten())
}

impl Batch {
    fn push(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Person(person) => line(person, &mut self.people),
            Event::Auction(auction) => line(auction, &mut self.auctions),
            Event::Bid(bid) => line(bid, &mut self.bids),
        }
    }
}

fn line(row: &impl Serialize, lines: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(&mut *lines, row).map_err(|error| Error::Rows(error.to_string()))?;
    lines.push(b'\n');
    Ok(())
}

/// How many rows are due.
#[derive(Debug)]
struct Pace {
    rate: u32,
    from: Instant,
    written: u64,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self {
            rate,
            from: Instant::now(),
            written: 0,
        }
    }

    /// Rows due at `now`, which then count as written.
    fn owed(&mut self, now: Instant) -> u64 {
        let due =
            (now.saturating_duration_since(self.from).as_secs_f64() * f64::from(self.rate)) as u64;
        let mut owed = due.saturating_sub(self.written);
        let most = (OWED_MAX.as_secs_f64() * f64::from(self.rate)).ceil() as u64;
        if owed > most {
            owed = most;
            self.from = now;
            self.written = 0;
        } else {
            self.written += owed;
        }
        owed
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_over_uneven_ticks() {
        let mut pace = Pace::new(333);
        let start = pace.from;
        let mut written = 0;
        for ms in [50, 100, 170, 171, 500, 900, 1_000] {
            written += pace.owed(start + Duration::from_millis(ms));
        }
        assert_eq!(written, 333);
    }

    #[test]
    fn a_long_pause_is_not_made_up_for() {
        let mut pace = Pace::new(100);
        let woken = pace.from + Duration::from_secs(3600);
        assert_eq!(pace.owed(woken), 100);
        assert_eq!(pace.owed(woken + Duration::from_millis(100)), 10);
    }

    #[test]
    fn a_slow_rate_is_not_lost_to_rounding() {
        let mut pace = Pace::new(1);
        let start = pace.from;
        let written: u64 = (1..=200).map(|tick| pace.owed(start + TICK * tick)).sum();
        assert_eq!(written, 10);
    }
}
