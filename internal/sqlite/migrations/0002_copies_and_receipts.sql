-- Written before enough queue servers had it: see popeye.Vote.
ALTER TABLE votes ADD COLUMN unconfirmed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE parked ADD COLUMN unconfirmed INTEGER NOT NULL DEFAULT 0;

-- A dropped vote is known by its key alone: what it chose is forgotten, and that
-- it was rejected is not, or else it would be counted again when it comes again.
ALTER TABLE parked ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;

-- Declared final by an organiser, although votes may be missing.
ALTER TABLE rounds ADD COLUMN incomplete INTEGER NOT NULL DEFAULT 0;
-- The SHA-256 of the final list of receipts, in hexadecimal, once it is known.
ALTER TABLE rounds ADD COLUMN receipts_hash TEXT NOT NULL DEFAULT '';

-- Grows with each change of any poll, deletions included, whoever makes it.
CREATE TABLE catalog (version INTEGER NOT NULL) STRICT;
INSERT INTO catalog (version) VALUES (1);
CREATE TRIGGER poll_created AFTER INSERT ON polls BEGIN UPDATE catalog SET version = version + 1; END;
CREATE TRIGGER poll_changed AFTER UPDATE ON polls BEGIN UPDATE catalog SET version = version + 1; END;
CREATE TRIGGER poll_deleted AFTER DELETE ON polls BEGIN UPDATE catalog SET version = version + 1; END;
