-- A table has a key, and rows that change.
CREATE TABLE IF NOT EXISTS watched (
  auction BIGINT PRIMARY KEY,
  note TEXT NOT NULL DEFAULT 'look again',
  since TIMESTAMP
);
INSERT INTO watched (auction, note, since)
  SELECT id, 'reserve of ' || reserve, at FROM auctions WHERE reserve > 4000 ORDER BY id LIMIT 3
  ON CONFLICT (auction) DO UPDATE SET note = excluded.note, since = excluded.since;
UPDATE watched SET note = note || '!' WHERE auction = (SELECT min(auction) FROM watched);
SELECT w.auction, w.note, count(b.price) AS bids, max(b.price) AS highest
FROM watched w LEFT JOIN bids b ON b.auction = w.auction
GROUP BY 1, 2
ORDER BY 1;
DELETE FROM watched;
DROP TABLE watched;
