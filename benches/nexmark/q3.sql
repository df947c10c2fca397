-- q3, local items: who in three states sells in category 10, and in which auctions. A join of two streams for all time.
SELECT p.name, p.city, p.state, a.id
FROM auction AS a JOIN person AS p ON a.seller = p.id
WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')
