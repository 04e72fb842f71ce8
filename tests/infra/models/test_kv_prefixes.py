"""What is kept of a conversation, for whom, and how long."""

import torch

from infra.models.kv_prefixes import KvPrefixes, common, copy_lane, fill
from infra.models.kv_tables import KvMemory, KvShape, Lane

SHAPE = KvShape(layers=2, heads=1, width=2, dtype=torch.float32, device=torch.device("cpu"))
TOKEN = 2 * 2 * 1 * 2 * 4


def lane(tokens: list[int]) -> Lane:
    """A row whose keys are its tokens, and whose values are minus them."""
    memory = KvMemory(SHAPE, limit_bytes=1 << 30, longest=512, max_rows=4)
    found = memory.open(len(tokens))
    assert found is not None
    for layer in range(SHAPE.layers):
        found.table.keys[layer][0, 0, : len(tokens), 0] = torch.tensor(tokens).float()
        found.table.values[layer][0, 0, : len(tokens), 1] = -torch.tensor(tokens).float()
    found.length = len(tokens)
    return found


def test_the_longest_common_beginning_is_found_under_its_key_alone() -> None:
    kept = KvPrefixes(1 << 20)
    kept.keep(("a", "anna"), [1, 2, 3, 4], lane([1, 2, 3, 4]))
    kept.keep(("a", "anna"), [1, 2, 9], lane([1, 2, 9]))
    prefix, shared = kept.longest(("a", "anna"), [1, 2, 3, 7, 8])
    assert prefix is not None
    assert (prefix.tokens, shared) == ((1, 2, 3, 4), 3)
    assert kept.longest(("a", "anna"), [5]) == (None, 0)
    assert kept.longest(("b", "anna"), [1, 2, 3]) == (None, 0)
    assert kept.longest(("a", "berta"), [1, 2, 3]) == (None, 0)


def test_only_what_was_computed_is_kept_and_the_longer_replaces_its_beginning() -> None:
    kept = KvPrefixes(1 << 20)
    short = lane([1, 2, 3])
    kept.keep(("a",), [1, 2, 3, 4], short)  # the last token drawn was not computed any more
    assert kept.longest(("a",), [1, 2, 3, 4])[1] == 3
    kept.keep(("a",), [1, 2, 3, 4, 5], lane([1, 2, 3, 4, 5]))
    assert len(kept) == 1
    assert kept.held_bytes == 5 * TOKEN


def test_the_least_recently_used_goes_first() -> None:
    kept = KvPrefixes(4 * TOKEN)
    for number in (10, 20):
        kept.keep((number,), [number, number], lane([number, number]))
    kept.longest((10,), [10, 10])
    kept.keep((30,), [30, 30], lane([30, 30]))
    assert [kept.longest((number,), [number])[1] for number in (10, 20, 30)] == [1, 0, 1]
    kept.keep((40,), [1] * 5, lane([1] * 5))
    assert kept.longest((40,), [1])[1] == 0, "larger than all that may be kept"
    assert kept.held_bytes == 4 * TOKEN
    assert [kept.drop_oldest(), kept.drop_oldest(), kept.drop_oldest()] == [2 * TOKEN, 2 * TOKEN, 0]
    assert kept.held_bytes == 0


def test_what_belongs_to_weights_that_are_gone_is_forgotten() -> None:
    kept, gone, stays = KvPrefixes(1 << 20), object(), object()
    for weights in (gone, stays):
        kept.keep((weights, "", "talk"), [1, 2], lane([1, 2]))
    kept.forget(gone)
    assert len(kept) == 1
    assert kept.longest((stays, "", "talk"), [1, 2])[1] == 2


def test_a_row_begins_with_what_was_kept_or_runs_beside_it() -> None:
    kept = KvPrefixes(1 << 20)
    source = lane([5, 6, 7])
    kept.keep(("a",), [5, 6, 7], source)
    prefix, _ = kept.longest(("a",), [5, 6])
    assert prefix is not None
    for begin in (lambda into: fill(into, prefix, 2), lambda into: copy_lane(source, into, 2)):
        into = lane([0, 0, 0])
        begin(into)
        assert into.length == 2
        assert into.table.keys[1][0, 0, :3, 0].tolist() == [5, 6, 0]
        assert into.table.values[0][0, 0, :3, 1].tolist() == [-5, -6, 0]


def test_common() -> None:
    assert [common([1, 2, 3], other) for other in ([], [1], [1, 2, 3, 4], [1, 9, 3], [0])] == [0, 1, 3, 1, 0]
