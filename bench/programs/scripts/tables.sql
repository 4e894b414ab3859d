-- Two tables and an index in memory: filled, joined, changed and sorted. The rows come from arithmetic.
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL, born INTEGER);
CREATE TABLE visit (person INTEGER, place TEXT, day INTEGER, note TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO person SELECT i, printf('%x-%s', i * 2654435761 % 1000003, hex(i * 40503 % 65521)),
    'city ' || (i * 7919 % 501), 1920 + i * 31 % 90 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
INSERT INTO visit SELECT i * 48271 % 60000 + 1, 'place ' || (i * 16807 % 997), i % 365,
    substr(hex(i * 2654435761) || hex(i * 40503), 1, 8 + i % 40) FROM n;
CREATE INDEX visit_person ON visit (person, day);
CREATE INDEX person_city ON person (city, name);
SELECT city, count(*), sum(day), group_concat(DISTINCT place) FROM person JOIN visit ON person.id = visit.person
    WHERE born % 3 = 0 GROUP BY city ORDER BY count(*) DESC, city LIMIT 40;
UPDATE visit SET note = upper(note) || place WHERE day % 5 = 0;
DELETE FROM visit WHERE person % 7 = 3;
SELECT place, count(*), max(note), min(length(note)) FROM visit GROUP BY place ORDER BY 2 DESC, 1 LIMIT 40;
SELECT name, (SELECT count(*) FROM visit WHERE visit.person = person.id) AS visits FROM person
    ORDER BY visits DESC, name LIMIT 100;
SELECT sum(length(note)), count(*) FROM visit;
