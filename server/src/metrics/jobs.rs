//! What materialized views and sinks are counted by.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use weir_engine::JobMetrics;

/// So many jobs have series of their own, those that were created first: an operator's memory is not for who creates views to fill.
/// `weir_jobs` counts all.
const JOBS_MAX: usize = 500;

/// A number of a job.
enum Number {
    /// It only grows, until the job begins anew.
    Count(fn(&JobMetrics) -> u64),
    CountedSeconds(fn(&JobMetrics) -> Duration),
    Gauge(fn(&JobMetrics) -> u64),
    /// None where there is no such time.
    Seconds(fn(&JobMetrics) -> Option<Duration>),
}

/// Names, without `weir_` and the unit; what they mean; their units; where they come from.
const NUMBERS: &[(&str, &str, Option<Unit>, Number)] = &[
    (
        "job_rows_read",
        "Rows of its sources that a view or sink has read",
        None,
        Number::Count(|job| job.rows_read),
    ),
    (
        "job_rows_written",
        "Rows of its query that have come or gone",
        None,
        Number::Count(|job| job.rows_written),
    ),
    (
        "job_rows_skipped",
        "Rows left out because they cannot be computed",
        None,
        Number::Count(|job| job.rows_skipped),
    ),
    (
        "job_late_rows",
        "Rows that came too late for their windows",
        None,
        Number::Count(|job| job.late_rows),
    ),
    (
        "job_steps",
        "Steps taken",
        None,
        Number::Count(|job| job.steps),
    ),
    (
        "job_step",
        "Time that steps took",
        Some(Unit::Seconds),
        Number::CountedSeconds(|job| job.stepping),
    ),
    (
        "job_rows_behind",
        "Rows of its sources yet to be read",
        None,
        Number::Gauge(|job| job.rows_behind),
    ),
    (
        "job_behind",
        "Time for which there have been rows yet to be read",
        Some(Unit::Seconds),
        Number::Seconds(|job| Some(job.behind)),
    ),
    (
        "job_state",
        "Memory that its state takes",
        Some(Unit::Bytes),
        Number::Gauge(|job| job.state_bytes),
    ),
    (
        "job_disk",
        "Disk that its state takes",
        Some(Unit::Bytes),
        Number::Gauge(|job| job.disk_bytes),
    ),
    (
        "job_checkpoint_age",
        "Time since its last checkpoint was made",
        Some(Unit::Seconds),
        Number::Seconds(|job| job.checkpoint_age),
    ),
];

/// Writes how jobs do.
pub(super) fn encode(
    encoder: &mut DescriptorEncoder,
    jobs: &[JobMetrics],
) -> Result<(), fmt::Error> {
    let mut counts: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for job in jobs {
        *counts.entry((job.kind, job.state)).or_default() += 1;
    }
    let mut family =
        encoder.encode_descriptor("jobs", "Views and sinks now", None, MetricType::Gauge)?;
    for ((kind, state), count) in counts {
        let labels = [("type", kind), ("state", state)];
        ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
    }
    let shown = jobs.get(..JOBS_MAX).unwrap_or(jobs);
    for (name, help, unit, number) in NUMBERS {
        let metric_type = match number {
            Number::Count(_) | Number::CountedSeconds(_) => MetricType::Counter,
            Number::Gauge(_) | Number::Seconds(_) => MetricType::Gauge,
        };
        let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), metric_type)?;
        for job in shown {
            let labels = [
                ("schema", job.schema.as_str()),
                ("name", job.name.as_str()),
                ("type", job.kind),
            ];
            let metric =
                |family: &mut prometheus_client::encoding::MetricEncoder<'_>| match number {
                    Number::Count(of) => {
                        ConstCounter::new(of(job)).encode(family.encode_family(&labels)?)
                    }
                    Number::CountedSeconds(of) => ConstCounter::new(of(job).as_secs_f64())
                        .encode(family.encode_family(&labels)?),
                    Number::Gauge(of) => {
                        let value = i64::try_from(of(job)).unwrap_or(i64::MAX);
                        ConstGauge::new(value).encode(family.encode_family(&labels)?)
                    }
                    Number::Seconds(of) => match of(job) {
                        Some(time) => ConstGauge::new(time.as_secs_f64())
                            .encode(family.encode_family(&labels)?),
                        None => Ok(()),
                    },
                };
            metric(&mut family)?;
        }
    }
    Ok(())
}
