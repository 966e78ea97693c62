-- +goose Up

-- One row, which whoever changes a definition locks first: so definitions change
-- one after another, and nobody sees half a change.
CREATE TABLE catalog (
    single     boolean PRIMARY KEY DEFAULT true CHECK (single),
    -- Grows with each change of any poll, deletions included.
    version    bigint  NOT NULL DEFAULT 1,
    -- The highest number that any round was ever given.
    round      bigint  NOT NULL DEFAULT 0,
    -- The highest version that any deleted poll had, so that one created again
    -- under its name goes on above it, whatever the clock says.
    high_water bigint  NOT NULL DEFAULT 0
);
INSERT INTO catalog DEFAULT VALUES;

CREATE TABLE polls (
    id         text   PRIMARY KEY,
    -- The current round; earlier ones stay until the poll is deleted.
    round      bigint NOT NULL,
    -- Grows with each change of the definition or of the round's state.
    version    bigint NOT NULL,
    -- The poll as JSON.
    definition text   NOT NULL
);

CREATE TABLE rounds (
    round         bigint  PRIMARY KEY,
    -- NULL once the poll is deleted. The number stays, so that it is known.
    poll          text    REFERENCES polls (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    state         text    NOT NULL,
    -- Policy and options never change: a changed ballot is a new round.
    policy        text    NOT NULL,
    options       integer NOT NULL,
    -- Empty until somebody who has keys names one.
    voter_key     text    NOT NULL,
    -- Declared final by an organiser, although votes may be missing.
    incomplete    boolean NOT NULL DEFAULT false,
    -- The SHA-256 of the final list of receipts, in hexadecimal, once it is known.
    receipts_hash text    NOT NULL DEFAULT ''
);
ALTER TABLE polls ADD FOREIGN KEY (round) REFERENCES rounds (round) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX rounds_by_poll ON rounds (poll);

-- What recording moves, apart from the round itself, so that nobody who reads or
-- locks a round waits for those who record. The row is also the gate of its
-- round: all who record pass it, last of all, and whoever shuts it (the round is
-- final, or deleted) waits for those who have passed and stops those who have
-- not. fillfactor: what changes with each batch stays on its page.
CREATE TABLE ledgers (
    round    bigint  PRIMARY KEY REFERENCES rounds (round),
    -- Grows with each change of anything that a result shows.
    shown    bigint  NOT NULL,
    total    bigint  NOT NULL DEFAULT 0,
    stored   bigint  NOT NULL DEFAULT 0,
    rejected bigint  NOT NULL DEFAULT 0,
    shut     boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

CREATE TABLE tallies (
    round  bigint  NOT NULL REFERENCES rounds (round),
    option integer NOT NULL,
    votes  bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (round, option)
) WITH (fillfactor = 50);

-- One row for each voter: the vote that stands. Choices are the 64 bits of a set
-- of options. What most votes do not need is NULL and takes no space; more than
-- eight columns would. No foreign key: every vote would pay for it.
CREATE TABLE votes (
    round       bigint NOT NULL,
    voter       uuid   NOT NULL,
    choices     bigint NOT NULL,
    -- When it was cast, in microseconds since 1970.
    stamp       bigint NOT NULL,
    -- Which of the voter's votes it is. NULL: the first.
    serial      bigint,
    -- What the last change has replaced, and how many votes it has added to the
    -- ledger. NULL: there was none.
    prev        bigint,
    gained      bigint,
    -- Written before enough queue servers had it. NULL: it was not.
    unconfirmed boolean,
    PRIMARY KEY (round, voter)
);

-- What cannot be counted, and why. The round may be one that never was. A
-- dropped vote is known by its key alone: what it chose is forgotten, and that it
-- was rejected is not, or else it would be counted again when it comes again.
CREATE TABLE parked (
    round       bigint  NOT NULL,
    voter       uuid    NOT NULL,
    stamp       bigint  NOT NULL,
    choices     bigint  NOT NULL,
    serial      bigint  NOT NULL,
    unconfirmed boolean NOT NULL,
    reason      text    NOT NULL,
    dropped     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (round, voter, stamp)
);

-- What is known of the queue servers: one row for each place where one is.
CREATE TABLE places (
    place    text        PRIMARY KEY,
    -- The identity of the server's data.
    server   text        NOT NULL,
    -- The highest round that there was when this server came to this place, and
    -- whether it came after another one.
    since    bigint      NOT NULL,
    replaced boolean     NOT NULL DEFAULT false,
    -- Those that were here before.
    past     text[]      NOT NULL DEFAULT '{}',
    -- The position in the queue from which on votes may be missing here.
    recorded text        NOT NULL,
    pending  bigint      NOT NULL DEFAULT 0,
    oldest   timestamptz,
    -- How many votes the server has taken, by round.
    accepted jsonb       NOT NULL DEFAULT '{}',
    noted    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Which batches of which worker are recorded here: one range, unless commits
-- were lost.
CREATE TABLE progress (
    server  text           NOT NULL,
    worker  text           NOT NULL,
    batches int8multirange NOT NULL,
    noted   timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (server, worker)
) WITH (fillfactor = 50);

-- Which places have nothing more of a closed round, and whether that counts:
-- what the server was to the round when it said so.
CREATE TABLE seals (
    round    bigint NOT NULL REFERENCES rounds (round),
    place    text   NOT NULL,
    standing text   NOT NULL,
    PRIMARY KEY (round, place)
);
