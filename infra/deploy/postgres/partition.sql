-- Range partitions by time for the tables that grow with traffic, on ids whose first digits are a time (UUIDv7).
-- Run it once, by the owner of an EMPTY store that `plaudit migrate` has just made; then monthly, before the month ends:
--   psql "$STORE" -f infra/deploy/postgres/partition.sql
--   psql "$STORE" -c "SELECT plaudit_partitions('2026-12-01', 12)"
-- Retention is then `SELECT plaudit_drop_before('2026-06-01')`, which gives the space back at once. Rows under ids of
-- other shapes (imported answers) stand in the partition `..._other`, and are removed by the job `retention`.
-- docs/deploy.md says what this makes cheaper, and what dearer.

-- The smallest UUIDv7 of an instant, as text: 48 bits of milliseconds.
CREATE OR REPLACE FUNCTION plaudit_uuid7_from(at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT substr(hex, 1, 8) || '-' || substr(hex, 9, 4)
  FROM (SELECT lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') AS hex) AS made
$$;

-- table, column of the id, and what stands before the UUID in it
CREATE OR REPLACE FUNCTION plaudit_partitioned() RETURNS TABLE (name text, id text, prefix text) LANGUAGE sql IMMUTABLE AS $$
  VALUES ('interactions', 'response_id', 'chatcmpl-'), ('labels', 'response_id', 'chatcmpl-'),
         ('feedback_events', 'event_id', '')
$$;

CREATE OR REPLACE FUNCTION plaudit_partition_empty() RETURNS void LANGUAGE plpgsql AS $$
DECLARE wanted record; used boolean;
BEGIN
  FOR wanted IN SELECT * FROM plaudit_partitioned() LOOP
    CONTINUE WHEN (SELECT relkind FROM pg_class WHERE oid = wanted.name::regclass) = 'p';
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', wanted.name) INTO used;
    IF used THEN
      RAISE EXCEPTION 'table % holds rows: partition an empty store, then restore a backup into it', wanted.name;
    END IF;
    EXECUTE format('ALTER TABLE %I RENAME TO %I', wanted.name, wanted.name || '_plain');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS) PARTITION BY RANGE (%I)',
                   wanted.name, wanted.name || '_plain', wanted.id);
    PERFORM plaudit_move_indexes(wanted.name);
    EXECUTE format('DROP TABLE %I', wanted.name || '_plain');
    EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', wanted.name || '_other', wanted.name);
  END LOOP;
END $$;

-- The indexes and the primary key of NAME_plain, under their own names, onto NAME.
CREATE OR REPLACE FUNCTION plaudit_move_indexes(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE found record;
BEGIN
  FOR found IN
    SELECT c.conname, pg_get_constraintdef(c.oid) AS def FROM pg_constraint c
    WHERE c.conrelid = (name || '_plain')::regclass AND c.contype = 'p'
  LOOP
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', name || '_plain', found.conname);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I %s', name, found.conname, found.def);
  END LOOP;
  FOR found IN
    SELECT c.relname, pg_get_indexdef(i.indexrelid) AS def FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = (name || '_plain')::regclass
  LOOP
    EXECUTE format('DROP INDEX %I', found.relname);
    EXECUTE replace(found.def, name || '_plain', name);
  END LOOP;
END $$;

-- Partitions of a month each, from the month of `since` on; those that are there stay.
CREATE OR REPLACE FUNCTION plaudit_partitions(since date, months int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE wanted record; first timestamptz; part text; made int := 0;
BEGIN
  FOR wanted IN SELECT * FROM plaudit_partitioned() LOOP
    FOR month IN 0 .. months - 1 LOOP
      first := (date_trunc('month', since) + make_interval(months => month)) AT TIME ZONE 'UTC';
      part := wanted.name || '_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMM');
      CONTINUE WHEN to_regclass(part) IS NOT NULL;
      EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', part, wanted.name,
        wanted.prefix || plaudit_uuid7_from(first),
        wanted.prefix || plaudit_uuid7_from((first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'));
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;

-- Drop the partitions of all months before that of `until`; how many.
CREATE OR REPLACE FUNCTION plaudit_drop_before(until date) RETURNS int LANGUAGE plpgsql AS $$
DECLARE part record; dropped int := 0;
BEGIN
  FOR part IN
    SELECT child.relname FROM pg_inherits i
    JOIN pg_class child ON child.oid = i.inhrelid JOIN pg_class parent ON parent.oid = i.inhparent
    JOIN plaudit_partitioned() p ON p.name = parent.relname
    WHERE child.relname ~ '_[0-9]{6}$' AND right(child.relname, 6) < to_char(until, 'YYYYMM')
  LOOP
    EXECUTE format('DROP TABLE %I', part.relname);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;

SELECT plaudit_partition_empty();
