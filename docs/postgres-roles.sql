-- A database role for each of Popeye's roles, with no more rights than it needs.
--
-- Run this in Popeye's database, as the owner of the database or a superuser,
-- before the first `popeye migrate`, and again after every one:
--
--     psql "$OWNER_DSN" -v ON_ERROR_STOP=1 -f postgres-roles.sql
--     popeye migrate --database postgres://popeye_migrate@...
--     psql "$OWNER_DSN" -v ON_ERROR_STOP=1 -f postgres-roles.sql
--
-- It may be run any number of times. It sets no passwords: \password popeye_worker
-- and so on, or whatever pg_hba.conf asks for. `popeye poll` needs no database.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['popeye_migrate', 'popeye_worker', 'popeye_result', 'popeye_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
    END LOOP;
END $$;

-- Only migrations make tables. Up to PostgreSQL 14, everybody may.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO popeye_migrate;
GRANT USAGE ON SCHEMA public TO popeye_worker, popeye_result, popeye_admin;

DO $$
BEGIN
    IF to_regclass('popeye_migrations') IS NULL THEN
        RAISE NOTICE 'no tables yet: run popeye migrate, and this once more';
        RETURN;
    END IF;

    REVOKE ALL ON popeye_migrations, catalog, polls, rounds, ledgers, tallies, votes, parked, places, progress, seals
        FROM popeye_worker, popeye_result, popeye_admin;
    GRANT SELECT ON popeye_migrations, polls, rounds, ledgers, tallies, places
        TO popeye_worker, popeye_result, popeye_admin;

    -- result reads results, and finds receipts. It sees who has voted, by
    -- pseudonym, and never what for.
    GRANT SELECT (round, voter, stamp) ON votes TO popeye_result;
    GRANT SELECT (round, voter, stamp, reason) ON parked TO popeye_result;

    -- worker adds and changes votes, deletes none, and brings rounds to their end.
    GRANT SELECT, INSERT, UPDATE ON votes, ledgers, tallies, places TO popeye_worker;
    GRANT SELECT, INSERT, UPDATE, DELETE ON progress TO popeye_worker;
    GRANT SELECT, INSERT ON seals TO popeye_worker;
    GRANT SELECT (round, voter, stamp), INSERT ON parked TO popeye_worker;
    GRANT SELECT, UPDATE ON catalog TO popeye_worker;
    GRANT UPDATE (state, voter_key, receipts_hash) ON rounds TO popeye_worker;
    GRANT UPDATE (version) ON polls TO popeye_worker;

    -- admin makes, changes and deletes polls, and records parked votes again,
    -- for which it has to read what they and those that stand have chosen.
    GRANT SELECT, UPDATE ON catalog TO popeye_admin;
    GRANT INSERT, UPDATE, DELETE ON polls TO popeye_admin;
    GRANT INSERT, UPDATE ON rounds, ledgers TO popeye_admin;
    GRANT INSERT, UPDATE, DELETE ON tallies TO popeye_admin;
    GRANT SELECT, INSERT, UPDATE, DELETE ON votes TO popeye_admin;
    GRANT SELECT, UPDATE, DELETE ON parked TO popeye_admin;
    GRANT SELECT, DELETE ON seals TO popeye_admin;
    GRANT SELECT, INSERT, UPDATE ON progress TO popeye_admin;
END $$;
