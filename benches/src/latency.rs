//! Many durations, and their percentiles.

use std::time::Duration;

/// Durations, as they were taken.
#[derive(Debug, Default, Clone)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The least duration that `percent` of all are not above, in milliseconds.
    pub(crate) fn percentile_ms(&mut self, percent: f64) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        self.0.sort_unstable();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rank = ((percent / 100.0) * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1].as_secs_f64() * 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut latencies = Latencies::default();
        for ms in (1..=100).rev() {
            latencies.push(Duration::from_millis(ms));
        }
        assert!((latencies.percentile_ms(50.0) - 50.0).abs() < 1e-9);
        assert!((latencies.percentile_ms(99.0) - 99.0).abs() < 1e-9);
        assert!((latencies.percentile_ms(100.0) - 100.0).abs() < 1e-9);
    }
}
