-- Two streams, a CSV file and an NDJSON file.
SELECT k.name AS continent, c.name AS country, count(*) AS bids, count(DISTINCT p.id) AS bidders, max(b.price) AS highest
FROM bids b
JOIN people p ON b.bidder = p.id
JOIN countries c ON p.country = c.code
JOIN continents k ON c.continent = k.code
GROUP BY 1, 2
ORDER BY bids DESC
LIMIT 10;

-- The cities that people come from (Parquet), and how large they are.
SELECT t.name AS city, t.country, t.population, count(*) AS people
FROM people p
JOIN cities t ON p.city_id = t.id
GROUP BY 1, 2, 3
ORDER BY people DESC, t.population DESC
LIMIT 10;
