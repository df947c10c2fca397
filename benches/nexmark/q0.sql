-- q0, pass through: what it costs to read and to write.
SELECT auction, bidder, price, date_time, extra FROM bid
