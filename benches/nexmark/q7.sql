-- q7, highest bid of each 10 seconds, by a join of the bids with the windows' maxima.
SELECT b.auction, b.bidder, b.price, b.date_time, b.extra
FROM bid AS b
JOIN (
    SELECT max(price) AS top, window_end
    FROM TUMBLE(bid, date_time, INTERVAL '10' SECOND)
    GROUP BY window_start, window_end) AS w
ON b.price = w.top
WHERE b.date_time BETWEEN w.window_end - INTERVAL '10' SECOND AND w.window_end
