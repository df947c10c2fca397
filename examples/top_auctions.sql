-- The auctions with the most bids.
SELECT b.auction, a.item, count(*) AS bids, min(b.price) AS lowest, max(b.price) AS highest
FROM bids b JOIN auctions a ON a.id = b.auction
GROUP BY b.auction, a.item
ORDER BY bids DESC, b.auction
LIMIT 10;

-- Bids a minute, and how they came.
SELECT date_trunc('minute', at) AS minute,
       count(*) AS bids,
       count(*) FILTER (WHERE channel = 'app') AS by_app,
       count(DISTINCT bidder) AS bidders
FROM bids
GROUP BY 1
ORDER BY 1 DESC
LIMIT 10;

-- The highest bid of each category, with its auction.
SELECT category, item, price
FROM (
  SELECT a.category, a.item, b.price, row_number() OVER (PARTITION BY a.category ORDER BY b.price DESC, b.at) AS place
  FROM bids b JOIN auctions a ON a.id = b.auction
) AS ranked
WHERE place = 1
ORDER BY price DESC;
