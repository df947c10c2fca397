CREATE SCHEMA sales;
CREATE TABLE users (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL DEFAULT 'nobody',
    credit NUMERIC(12, 2),
    joined TIMESTAMP,
    seen TIMESTAMP WITH TIME ZONE,
    born DATE,
    active BOOLEAN,
    score DOUBLE PRECISION,
    small SMALLINT,
    weight REAL,
    at TIME,
    raw BYTEA,
    tags TEXT[]
);
CREATE TABLE sales.orders (
    region INTEGER NOT NULL,
    number INTEGER NOT NULL,
    total NUMERIC(10, 2),
    CONSTRAINT orders_total_check CHECK (total > 0),
    PRIMARY KEY (region, number)
);
CREATE VIEW rich AS SELECT id, name FROM users WHERE credit > 100;
CREATE MATERIALIZED VIEW totals AS SELECT region, sum(total) AS total FROM sales.orders GROUP BY region;
COMMENT ON TABLE users IS 'who buys';
COMMENT ON COLUMN users.credit IS 'in francs';
COMMENT ON VIEW rich IS 'who buys more';
