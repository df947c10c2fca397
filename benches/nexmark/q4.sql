-- q4, average price for a category, of the winning bids. The best price of an auction changes, and the averages with it.
SELECT q.category, avg(q.final) AS average
FROM (
    SELECT max(b.price) AS final, a.category
    FROM auction AS a JOIN bid AS b ON a.id = b.auction
    WHERE b.date_time BETWEEN a.date_time AND a.expires
    GROUP BY a.id, a.category) AS q
GROUP BY q.category
