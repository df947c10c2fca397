-- q10, log to files: the query of the sink, with the day and the minute that its folders are named after.
SELECT auction, bidder, price, date_time, extra,
    to_char(date_time, '%Y-%m-%d') AS day, to_char(date_time, '%H:%M') AS minute
FROM bid
