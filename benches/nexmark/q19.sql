-- q19, the ten highest bids of each auction. Of equals the earlier comes first, and then the bidder's number decides, so that there is one
-- answer.
SELECT *
FROM (
    SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC, date_time, bidder, extra) AS rank_number
    FROM bid) AS q
WHERE rank_number <= 10
