-- "Popy": tells a Popeye database from anybody else's.
PRAGMA application_id = 0x506f7079;

CREATE TABLE polls (
    id         TEXT    PRIMARY KEY,
    -- The current round; earlier ones stay until the poll is deleted.
    round      INTEGER NOT NULL REFERENCES rounds (round) DEFERRABLE INITIALLY DEFERRED,
    -- Grows with each change of the definition or of the round's state.
    version    INTEGER NOT NULL,
    -- The poll as JSON. Last, since it may be long and is rarely needed.
    definition TEXT    NOT NULL
) STRICT;

CREATE TABLE rounds (
    -- AUTOINCREMENT: a number is never used twice, not even after a deletion.
    round     INTEGER PRIMARY KEY AUTOINCREMENT,
    -- NULL once the poll is deleted: the round is being swept away.
    poll      TEXT    REFERENCES polls (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    state     TEXT    NOT NULL,
    -- Policy and options never change: a changed ballot is a new round.
    policy    TEXT    NOT NULL,
    options   INTEGER NOT NULL,
    voter_key TEXT    NOT NULL,
    -- Grows with each change of anything that a result shows.
    shown     INTEGER NOT NULL,
    total     INTEGER NOT NULL DEFAULT 0,
    stored    INTEGER NOT NULL DEFAULT 0,
    rejected  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX rounds_by_poll ON rounds (poll);

CREATE TABLE tallies (
    round  INTEGER NOT NULL REFERENCES rounds (round) ON DELETE CASCADE,
    option INTEGER NOT NULL,
    votes  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (round, option)
) STRICT, WITHOUT ROWID;

-- One row for each voter: the vote that stands, and the choices before it.
-- Choices are the 64 bits of a set of options. No foreign key: every vote would
-- pay for it, and the round is looked up once for a whole batch anyway.
CREATE TABLE votes (
    round   INTEGER NOT NULL,
    voter   BLOB    NOT NULL,
    choices INTEGER NOT NULL,
    prev    INTEGER NOT NULL,
    stamp   INTEGER NOT NULL,
    serial  INTEGER NOT NULL,
    PRIMARY KEY (round, voter)
) STRICT, WITHOUT ROWID;

-- What can never be counted, and why. The round may be one that never was.
CREATE TABLE parked (
    round   INTEGER NOT NULL,
    voter   BLOB    NOT NULL,
    stamp   INTEGER NOT NULL,
    choices INTEGER NOT NULL,
    serial  INTEGER NOT NULL,
    reason  TEXT    NOT NULL,
    PRIMARY KEY (round, voter, stamp)
) STRICT, WITHOUT ROWID;

-- The highest version that any deleted poll had, so that one created again
-- under its name goes on above it, whatever the clock says.
CREATE TABLE high_water (version INTEGER NOT NULL) STRICT;
INSERT INTO high_water (version) VALUES (0);
