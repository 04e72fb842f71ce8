"""Places of rows under one limit of memory."""

import torch

from infra.models.kv_tables import KvMemory, KvShape, Lane

SHAPE = KvShape(layers=2, heads=3, width=4, dtype=torch.float32, device=torch.device("cpu"))
TOKEN = 2 * 2 * 3 * 4 * 4
"""Bytes: layers, keys and values, heads, width, float32."""


def memory(rows: float, **more: object) -> KvMemory:
    """Room for so many rows of 128 tokens."""
    limits = {"limit_bytes": int(rows * 128 * TOKEN), "longest": 1000, "max_rows": 8, **more}
    return KvMemory(SHAPE, **limits)  # type: ignore[arg-type]


def write(lane: Lane, value: float, count: int) -> None:
    for layer in range(SHAPE.layers):
        lane.table.keys[layer][lane.slot, :, :count] = value + layer
        lane.table.values[layer][lane.slot, :, :count] = -value - layer
    lane.length = count


def holds(lane: Lane, value: float) -> bool:
    return all(
        bool((lane.table.keys[layer][lane.slot, :, : lane.length] == value + layer).all())
        and bool((lane.table.values[layer][lane.slot, :, : lane.length] == -value - layer).all())
        for layer in range(SHAPE.layers)
    )


def test_what_a_row_takes() -> None:
    kept = memory(9)
    assert SHAPE.token_bytes == TOKEN
    assert [kept.capacity(tokens) for tokens in (1, 128, 129, 600, 1000)] == [128, 128, 256, 1000, 1000]
    assert kept.bytes_for(129) == 256 * TOKEN


def test_rows_keep_what_they_hold_as_others_come_and_go() -> None:
    kept = memory(8)
    lanes = [kept.open(100) for _ in range(5)]
    for number, lane in enumerate(lanes):
        assert lane is not None
        write(lane, 10.0 * number, 20 + number)
    first, second, _, _, last = lanes
    assert first is not None
    assert second is not None
    assert last is not None
    kept.close(second)
    assert last.slot == 1, "the last one moved into the gap"
    kept.close(first)
    assert [lane.slot for lane in first.table.lanes] == [0, 1, 2]
    assert {number for number, lane in enumerate(lanes) if lane and lane in first.table.lanes} == {2, 3, 4}
    assert all(holds(lane, 10.0 * number) for number, lane in enumerate(lanes) if lane and number > 1)


def test_a_place_is_empty_whoever_had_it_before() -> None:
    kept = memory(8)
    spoiled, moved = kept.open(100), kept.open(100)
    assert spoiled is not None
    assert moved is not None
    write(spoiled, float("nan"), 128)
    write(moved, 3.0, 20)
    kept.close(spoiled)
    assert holds(moved, 3.0)
    after = kept.open(100)
    assert after is not None
    assert (moved.slot, after.slot) == (0, 1)
    for tensor in (*moved.table.keys, *moved.table.values):
        assert bool((tensor[moved.slot, :, 20:] == 0).all()), "nothing of the place's last owner stays behind"
        assert bool((tensor[after.slot] == 0).all())


def test_the_limit_holds_whatever_comes() -> None:
    kept = memory(3.5)
    lanes = [kept.open(128) for _ in range(5)]
    assert [lane is not None for lane in lanes] == [True, True, True, False, False]
    assert kept.held_bytes() <= kept.limit_bytes
    assert lanes[0] is not None
    kept.close(lanes[0])
    assert kept.open(100) is not None, "a place given back is taken again"


def test_empty_places_of_one_size_make_room_for_another() -> None:
    kept = memory(4)
    short = [kept.open(10) for _ in range(4)]
    for lane in short[1:]:
        assert lane is not None
        kept.close(lane)
    assert short[0] is not None
    write(short[0], 7.0, 9)
    assert kept.open(200) is not None
    assert kept.open(200) is None
    assert holds(short[0], 7.0)
    assert kept.held_bytes() == 3 * 128 * TOKEN


def test_what_is_kept_for_speed_gives_way() -> None:
    sizes = [128 * TOKEN, 128 * TOKEN]
    kept = memory(3, spare=lambda: sizes.pop() if sizes else 0, spare_bytes=lambda: sum(sizes))
    assert kept.open(1) is not None
    assert len(sizes) == 2
    assert kept.open(1) is not None
    assert len(sizes) == 1
    assert kept.open(129) is None
    assert sizes == [], "asked for all there was"
