-- Every stream row has a place. SELECT * does not show it.
SELECT _partition, _offset, _timestamp, auction, price
FROM bids
ORDER BY _timestamp DESC, _partition, _offset
LIMIT 5;

-- How much is in each partition: this does not read the rows.
SELECT _partition, count(*) AS rows, min(_offset) AS first, max(_offset) AS last FROM bids GROUP BY 1 ORDER BY 1;

-- What there is.
SHOW STREAMS;
SELECT topic, "partition", start_offset, end_offset, bytes FROM weir.topics ORDER BY 1, 2;
