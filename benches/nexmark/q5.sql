-- q5, hot items: the auctions with the most bids in the last 10 seconds, every 2 seconds.
SELECT hot.auction, hot.num, hot.window_start
FROM (
    SELECT auction, count(*) AS num, window_start, window_end
    FROM HOP(bid, date_time, INTERVAL '2' SECOND, INTERVAL '10' SECOND)
    GROUP BY auction, window_start, window_end) AS hot
JOIN (
    SELECT max(counts.num) AS most, counts.window_start, counts.window_end
    FROM (
        SELECT count(*) AS num, window_start, window_end
        FROM HOP(bid, date_time, INTERVAL '2' SECOND, INTERVAL '10' SECOND)
        GROUP BY auction, window_start, window_end) AS counts
    GROUP BY counts.window_start, counts.window_end) AS peak
ON hot.window_start = peak.window_start AND hot.window_end = peak.window_end AND hot.num >= peak.most
