"""Consumer groups inside one host: which member reads which partition.

A partition is owned by at most one member. A member with more than its share gives the surplus back at its next poll,
when it is done with the records it had; a member with less takes free ones. So shares move one partition at a time and
nothing is read by two members, except by one that slept beyond its session timeout.

Liveness is measured with the machine's own clock, as several processes must agree on it.
"""

import sqlite3
import time
import uuid

from infra.event_log.embedded.processes import surely_dead, this_process


def share(rank: int, members: int, partitions: int) -> int:
    """How many partitions the member of that rank (from 0) reads: as even as possible, the first ones get the rest."""
    return partitions // members + (1 if rank < partitions % members else 0)


class Membership:
    """One member of one group. Its connection belongs to the consumer."""

    def __init__(
        self, connection: sqlite3.Connection, topic_id: int, group: str, partitions: int, session_seconds: float
    ) -> None:
        self._connection = connection
        self._group = (topic_id, group)
        self._partitions = partitions
        self._session_seconds = session_seconds
        self._member = uuid.uuid4().hex
        self._process = this_process()
        self._renew_at = 0.0

    def due(self) -> bool:
        return time.monotonic() >= self._renew_at

    def renew(self) -> tuple[frozenset[int], frozenset[int]]:
        """Show that this member lives, remove the dead, settle the shares.

        Returns the partitions owned now, and those of them that were owned all the time since the last call: after an
        eviction there are none of these, as another member may have read on.
        """
        self._renew_at = time.monotonic() + min(self._session_seconds / 10, 0.5)
        with _immediately(self._connection):
            before = self._owned()
            self._beat()
            self._bury()
            self._settle()
            owned = self._owned()
        return owned, owned & before

    def leave(self) -> None:
        """Give everything back."""
        with _immediately(self._connection):
            self._remove(self._member)

    def _beat(self) -> None:
        self._connection.execute(
            "INSERT INTO members (topic_id, consumer_group, member, process, heartbeat) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET heartbeat = excluded.heartbeat",
            (*self._group, self._member, self._process, time.time()),
        )

    def _bury(self) -> None:
        rows = self._connection.execute(
            "SELECT member, process, heartbeat FROM members WHERE topic_id = ? AND consumer_group = ?", self._group
        ).fetchall()
        for member, process, heartbeat in rows:
            silent = time.time() - heartbeat > self._session_seconds
            if member != self._member and (silent or surely_dead(process)):
                self._remove(member)

    def _settle(self) -> None:
        members = [
            row[0]
            for row in self._connection.execute(
                "SELECT member FROM members WHERE topic_id = ? AND consumer_group = ? ORDER BY member", self._group
            )
        ]
        mine = share(members.index(self._member), len(members), self._partitions)
        owned = sorted(self._owned())
        for partition in owned[mine:]:
            self._connection.execute(
                "DELETE FROM owners WHERE topic_id = ? AND consumer_group = ? AND partition = ?",
                (*self._group, partition),
            )
        if len(owned) < mine:
            free = sorted(set(range(self._partitions)) - self._all_owned())
            self._connection.executemany(
                "INSERT INTO owners (topic_id, consumer_group, partition, member) VALUES (?, ?, ?, ?)",
                [(*self._group, partition, self._member) for partition in free[: mine - len(owned)]],
            )

    def _owned(self) -> frozenset[int]:
        rows = self._connection.execute(
            "SELECT partition FROM owners WHERE topic_id = ? AND consumer_group = ? AND member = ?",
            (*self._group, self._member),
        )
        return frozenset(row[0] for row in rows)

    def _all_owned(self) -> set[int]:
        rows = self._connection.execute(
            "SELECT partition FROM owners WHERE topic_id = ? AND consumer_group = ?", self._group
        )
        return {row[0] for row in rows}

    def _remove(self, member: str) -> None:
        for table in ("owners", "members"):
            self._connection.execute(
                f"DELETE FROM {table} WHERE topic_id = ? AND consumer_group = ? AND member = ?",  # noqa: S608
                (*self._group, member),
            )


class _immediately:
    """A write transaction: committed on success, rolled back on any exception."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")
