-- All high bids there are, then each new one as it comes. Ctrl-C ends it.
SELECT auction, bidder, price, channel, at
FROM bids
WHERE price > 9000
EMIT CHANGES;
