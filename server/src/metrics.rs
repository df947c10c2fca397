//! What the server counts, for Prometheus.

mod jobs;

use std::fmt;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use weir_engine::Engine;

/// The server's metrics, the engine's among them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    bytes_out: Counter,
    connections: Gauge,
    connections_refused: Counter,
    sessions: Gauge,
    statements: Gauge,
    flight_calls: Family<CallLabels, Counter>,
    flight_connections: Gauge,
    flight_connections_refused: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    code: i32,
}

/// The calls of Flight, which become labels; others are counted together.
const FLIGHT_CALLS: [&str; 10] = [
    "DoAction",
    "DoExchange",
    "DoGet",
    "DoPut",
    "GetFlightInfo",
    "GetSchema",
    "Handshake",
    "ListActions",
    "ListFlights",
    "PollFlightInfo",
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

fn histogram() -> Histogram {
    // From 100 µs to 100 s, a factor of √10 a bucket.
    Histogram::new(exponential_buckets(1e-4, 10_f64.sqrt(), 13))
}

impl Metrics {
    pub(crate) fn new(engine: &Engine) -> Self {
        let mut registry = Registry::with_prefix("weir");
        let this = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            bytes_out: Counter::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            sessions: Gauge::default(),
            statements: Gauge::default(),
            flight_calls: Family::default(),
            flight_connections: Gauge::default(),
            flight_connections_refused: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("http_requests", "Requests answered", this.requests.clone());
        registry.register_with_unit(
            "http_request_head",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            this.seconds.clone(),
        );
        registry.register_with_unit(
            "http_response",
            "Bytes of answers' bodies",
            Unit::Bytes,
            this.bytes_out.clone(),
        );
        registry.register(
            "http_connections",
            "Connections now",
            this.connections.clone(),
        );
        registry.register(
            "http_connections_refused",
            "Connections beyond the limit",
            this.connections_refused.clone(),
        );
        registry.register("sessions", "Sessions now", this.sessions.clone());
        registry.register(
            "statements",
            "Submitted statements kept now",
            this.statements.clone(),
        );
        registry.register(
            "flight_calls",
            "Flight calls answered, by gRPC status code, as far as that was known before the rows",
            this.flight_calls.clone(),
        );
        registry.register(
            "flight_connections",
            "Flight connections now",
            this.flight_connections.clone(),
        );
        registry.register(
            "flight_connections_refused",
            "Flight connections beyond the limit",
            this.flight_connections_refused.clone(),
        );
        registry.register_collector(Box::new(EngineMetrics(engine.clone())));
        Self { registry, ..this }
    }

    /// Counts an answered request.
    pub(crate) fn answered(
        &self,
        route: &str,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        // Methods are the client's to choose: only known ones become labels.
        let method = match *method {
            Method::GET | Method::POST | Method::DELETE | Method::HEAD | Method::OPTIONS => {
                method.as_str()
            }
            _ => "other",
        };
        let labels = RequestLabels {
            route: route.to_owned(),
            method: method.to_owned(),
            status: status.as_u16(),
        };
        self.requests.get_or_create(&labels).inc();
        let route = RouteLabels {
            route: labels.route,
        };
        self.seconds
            .get_or_create(&route)
            .observe(took.as_secs_f64());
    }

    /// The counter of bytes in answers' bodies.
    pub(crate) fn bytes_out(&self) -> Counter {
        self.bytes_out.clone()
    }

    pub(crate) fn connected(&self) {
        self.connections.inc();
    }

    pub(crate) fn disconnected(&self) {
        self.connections.dec();
    }

    pub(crate) fn refused(&self) {
        self.connections_refused.inc();
    }

    /// Counts a Flight call that was answered.
    pub(crate) fn flight_answered(&self, call: &str, code: tonic::Code) {
        let known = FLIGHT_CALLS.into_iter().find(|known| *known == call);
        let labels = CallLabels {
            call: known.unwrap_or("other"),
            code: code as i32,
        };
        self.flight_calls.get_or_create(&labels).inc();
    }

    pub(crate) fn flight_connected(&self) {
        self.flight_connections.inc();
    }

    pub(crate) fn flight_disconnected(&self) {
        self.flight_connections.dec();
    }

    pub(crate) fn flight_refused(&self) {
        self.flight_connections_refused.inc();
    }

    /// Sets the gauges of what is kept between requests.
    pub(crate) fn set_kept(&self, sessions: usize, statements: usize) {
        self.sessions
            .set(i64::try_from(sessions).unwrap_or(i64::MAX));
        self.statements
            .set(i64::try_from(statements).unwrap_or(i64::MAX));
    }

    /// All metrics in OpenMetrics' text form.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Reads the engine's counts when they are asked for.
struct EngineMetrics(Engine);

impl fmt::Debug for EngineMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineMetrics")
    }
}

impl Collector for EngineMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let now = self.0.metrics();
        let counters = [
            (
                "queries_finished",
                "Queries that gave all their rows",
                None,
                now.queries_finished,
            ),
            (
                "queries_failed",
                "Queries that ended with an error",
                None,
                now.queries_failed,
            ),
            (
                "queries_cancelled",
                "Queries that were stopped",
                None,
                now.queries_cancelled,
            ),
            (
                "queries_rejected",
                "Queries refused because too many ran",
                None,
                now.queries_rejected,
            ),
            ("query_rows", "Rows given out", None, now.rows_out),
            (
                "query_output",
                "Bytes given out, as Arrow arrays",
                Some(Unit::Bytes),
                now.bytes_out,
            ),
            ("ingest_rows", "Rows ingested", None, now.rows_in),
            (
                "ingest",
                "Bytes ingested, as they came",
                Some(Unit::Bytes),
                now.bytes_in,
            ),
        ];
        for (name, help, unit, value) in counters {
            let counter = ConstCounter::new(value);
            let metric =
                encoder.encode_descriptor(name, help, unit.as_ref(), counter.metric_type())?;
            counter.encode(metric)?;
        }
        let by_topic = [
            (
                "decode_errors",
                "Records that could not be decoded, each as often as it was read",
                self.0.decode_errors(),
            ),
            (
                "dead_letters",
                "Records that were copied because they could not be decoded",
                self.0.dead_letters(),
            ),
        ];
        for (name, help, counts) in by_topic {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (topic, count) in counts {
                let labels = [("topic", topic.as_str())];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let gauges = [
            (
                "queries_active",
                "Bounded queries that run or wait now",
                None,
                now.queries_active,
            ),
            (
                "queries_queued",
                "Queries that wait for their turn now",
                None,
                now.queries_queued,
            ),
            (
                "live_queries_active",
                "Live queries that run now",
                None,
                now.live_queries_active,
            ),
            (
                "query_memory",
                "Memory reserved by queries now",
                Some(Unit::Bytes),
                now.memory_bytes,
            ),
            (
                "decoded_rows",
                "Memory that the decoded rows of topics' ends take now",
                Some(Unit::Bytes),
                now.decoded_bytes,
            ),
            (
                "spill",
                "Disk that spilled data takes now",
                Some(Unit::Bytes),
                now.spill_bytes,
            ),
            (
                "log",
                "Size of the topic log",
                Some(Unit::Bytes),
                now.log_bytes,
            ),
            (
                "catalog_version",
                "Version of the catalog",
                None,
                now.catalog_version,
            ),
        ];
        for (name, help, unit, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric =
                encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        jobs::encode(&mut encoder, &self.0.job_metrics())
    }
}
