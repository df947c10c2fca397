-- q18, last bid: what each bidder bid last in each auction. Of bids in the same millisecond the highest counts, so that there is
-- one answer.
SELECT auction, bidder, price, channel, url, date_time, extra
FROM (
    SELECT *, row_number() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC, price DESC, extra) AS place
    FROM bid) AS q
WHERE place <= 1
