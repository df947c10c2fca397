-- What the queries read. Each stream holds one kind of event; a row's time is when the event happened.
CREATE STREAM person (id BIGINT, name TEXT, email_address TEXT, credit_card TEXT, city TEXT, state TEXT,
    date_time TIMESTAMP(3), extra TEXT, WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND)
  WITH (partitions = 2);
CREATE STREAM auction (id BIGINT, item_name TEXT, description TEXT, initial_bid BIGINT, reserve BIGINT,
    date_time TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra TEXT,
    WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND)
  WITH (partitions = 2);
CREATE STREAM bid (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT,
    date_time TIMESTAMP(3), extra TEXT, WATERMARK FOR date_time AS date_time - INTERVAL '4' SECOND)
  WITH (partitions = 2);
-- The bounded side of q13.
CREATE TABLE side_input (key BIGINT PRIMARY KEY, value TEXT);
INSERT INTO side_input SELECT i, 'side ' || i FROM generate_series(0, 9999) AS g(i);
