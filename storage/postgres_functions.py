"""Functions of the database that commits call.

The plan of a statement inside a function stays with whatever session runs it, so that the database
need not plan most of what a commit does, and nothing has to be prepared by name. They are made anew
by every process that takes the lease, and so belong to its version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .rows import RUN_CHANGES, RUN_TABLE, THREAD_TABLE, or_update

__all__ = ["FOLLOWS_NOTHING", "FUNCTIONS", "LEASE_CHANGED"]

LEASE_CHANGED: Final = "GR001"  # what the functions raise, so that the transaction ends there
FOLLOWS_NOTHING: Final = "GR002"


def _its(columns: Sequence[str]) -> str:
    return ", ".join(f"its_{column}" for column in columns)


def _typed(table: str, columns: Sequence[str]) -> str:
    return ", ".join(f"its_{column} greenroom.{table}.{column}%TYPE" for column in columns)


FUNCTIONS: Final = f"""
CREATE OR REPLACE FUNCTION greenroom.renew_lease(
    its_epoch bigint, its_commits bigint, its_attempt bigint, lasts double precision
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE greenroom.lease SET
        commits = commits + 1,
        attempt = its_attempt,
        ends_at = clock_timestamp() + lasts * interval '1 second'
    WHERE epoch = its_epoch AND commits = its_commits;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'The lease is not as its holder knows it' USING ERRCODE = '{LEASE_CHANGED}';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION greenroom.put_thread({_typed("threads", THREAD_TABLE)})
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE greenroom.threads
    SET ({", ".join(THREAD_TABLE[1:])}) = ({_its(THREAD_TABLE[1:])})
    WHERE thread_id = its_thread_id;
END $$;

CREATE OR REPLACE FUNCTION greenroom.put_run(its_thread_id text, {_typed("runs", RUN_TABLE)})
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO greenroom.runs (thread, {", ".join(RUN_TABLE)})
    SELECT id, {_its(RUN_TABLE)} FROM greenroom.threads WHERE thread_id = its_thread_id
    {or_update(("thread", "run_id"), RUN_CHANGES)};
END $$;

CREATE OR REPLACE FUNCTION greenroom.append_log(
    its_thread_id text, its_follows bigint, its_seq bigint, its_kind text, its_ns text,
    its_checkpoint_id text, its_base_seq bigint, its_data bytea, its_lists text,
    its_input text DEFAULT NULL, its_run_id text DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    its_thread bigint;
    its_run bigint;
    found_end bigint;
BEGIN
    SELECT id INTO its_thread FROM greenroom.threads WHERE thread_id = its_thread_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF its_follows IS NOT NULL THEN
        SELECT coalesce(max(seq), 0) INTO found_end FROM greenroom.log WHERE thread = its_thread;
        IF found_end <> its_follows THEN
            RAISE EXCEPTION 'The log of thread % ends at %, not %',
                its_thread_id, found_end, its_follows USING ERRCODE = '{FOLLOWS_NOTHING}';
        END IF;
    END IF;
    IF its_input IS NOT NULL THEN -- where it is the input of a run, the log only names the run
        SELECT id INTO its_run FROM greenroom.runs
        WHERE thread = its_thread AND run_id = its_run_id AND input = its_input;
        IF FOUND THEN
            its_input := NULL;
        END IF;
    END IF;
    INSERT INTO greenroom.log
        (thread, seq, kind, ns, checkpoint_id, base_seq, data, lists, run, input)
    VALUES
        (its_thread, its_seq, its_kind, its_ns, its_checkpoint_id, its_base_seq, its_data,
        its_lists, its_run, its_input);
END $$;

CREATE OR REPLACE FUNCTION greenroom.append_event(
    its_thread_id text, its_run_id text, its_event_id bigint, its_name text, its_data bytea,
    its_follows bigint DEFAULT NULL
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    its_thread bigint;
    its_run bigint;
BEGIN
    SELECT t.id, r.id INTO its_thread, its_run
    FROM greenroom.threads t JOIN greenroom.runs r ON r.thread = t.id
    WHERE t.thread_id = its_thread_id AND r.run_id = its_run_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF its_follows IS NOT NULL THEN
        PERFORM FROM greenroom.events WHERE thread = its_thread AND event_id = its_follows;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'There is no event % to follow', its_follows
            USING ERRCODE = '{FOLLOWS_NOTHING}';
        END IF;
    END IF;
    INSERT INTO greenroom.events (thread, run, event_id, name, data)
    VALUES (its_thread, its_run, its_event_id, its_name, its_data);
END $$;
"""
