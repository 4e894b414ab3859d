-- A table in memory: filled, indexed, asked, changed, thinned out and packed again.
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL, note TEXT);
WITH RECURSIVE n(i, r) AS (SELECT 1, 12345 UNION ALL SELECT i + 1, (r * 1103515245 + 12345) % 2147483648 FROM n WHERE i < 30000)
INSERT INTO item SELECT i, printf('item %x', r), r % 100000 / 100.0, substr(hex(zeroblob(300)), 1, r / 64 % 500) FROM n;
CREATE INDEX by_name ON item(name);
CREATE INDEX by_price ON item(price, name);
SELECT count(*), sum(length(note)) FROM item WHERE name LIKE 'item 1%';
SELECT substr(name, 1, 7) AS kind, count(*), length(group_concat(name)) FROM item GROUP BY kind ORDER BY 2 DESC, 1 LIMIT 5;
UPDATE item SET note = note || upper(name) || note WHERE id % 3 = 0;
CREATE TABLE kind AS SELECT DISTINCT substr(name, 6, 3) AS prefix FROM item;
SELECT prefix, (SELECT max(price) FROM item WHERE name >= 'item ' || prefix AND name < 'item ' || prefix || 'g')
  FROM kind ORDER BY 2 DESC, 1 LIMIT 5;
DELETE FROM item WHERE id % 5 = 0;
SELECT a.name, b.price FROM item a JOIN item b ON a.id = b.id + 1 ORDER BY b.price DESC, a.id LIMIT 3;
SELECT json_group_array(json_object('id', id, 'name', name)) ->> '$[100].name' FROM item WHERE price < 200;
VACUUM;
