-- Each person who registers, with city and country from files. Ctrl-C ends it.
SELECT p.id, p.name, t.name AS city, c.name AS country, c.currency, p.at
FROM people p
JOIN cities t ON p.city_id = t.id
JOIN countries c ON p.country = c.code
EMIT CHANGES;
