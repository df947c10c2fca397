-- q12, windows of 10 seconds for each bidder. Canonically they are of the time when a row is processed, which no second run gives
-- again; here they are of the event's time.
SELECT bidder, count(*) AS bids, window_start, window_end
FROM TUMBLE(bid, date_time, INTERVAL '10' SECOND)
GROUP BY bidder, window_start, window_end
