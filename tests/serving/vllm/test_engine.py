"""What the engine of vLLM servers adds to the port: retries, replicas, cancellation, what servers cannot say."""

import threading
import time
from pathlib import Path

import pytest

from serving.engine_errors import EngineFailed
from serving.vllm.errors import SamplingUnsupported
from tests.fixtures.helpers import wait_until
from tests.models_fixtures import make_tiny_lora
from tests.serving.vllm.conftest import MakeRig


def test_it_finds_out_which_log_probabilities_a_server_sends(make_rig: MakeRig) -> None:
    raw, processed = make_rig(1, mode="raw"), make_rig(1, mode="processed")
    for rig, mode in ((raw, "raw"), (processed, "processed")):
        rig.open_base()
        assert rig.engine.replicas()[0].mode == mode
    with pytest.raises(SamplingUnsupported, match="processed_logprobs"):
        raw.engine.submit([raw.request(temperature=0.7)])
    assert raw.ask() == processed.ask(), "what the model itself draws can be learned from in either mode"
    assert raw.ask(temperature=0.0) == processed.ask(temperature=0.0)


def test_before_its_first_token_an_answer_is_tried_elsewhere(make_rig: MakeRig) -> None:
    rig = make_rig(2, token_timeout_seconds=1.0)
    rig.open_base()
    expected = rig.ask()
    rig.doubles[0].faults.failing_completions = 1
    assert rig.ask() == expected
    rig.doubles[0].faults.break_after = rig.doubles[1].faults.break_after = 0
    with pytest.raises(EngineFailed):
        rig.ask()
    rig.doubles[0].faults.break_after = rig.doubles[1].faults.break_after = None
    rig.open_base()
    rig.doubles[0].faults.stall_after = 0
    assert rig.ask() == expected
    assert rig.ask() == expected
    rig.doubles[0].faults.stall_after = None
    rig.open_base()
    rig.doubles[0].faults.abort_after = 0
    assert [rig.ask() for _ in range(2)] == [expected] * 2


@pytest.mark.parametrize(("fault", "said"), [("break_after", "broke off"), ("abort_after", "'abort'")])
def test_after_it_an_answer_that_breaks_is_a_failure_and_never_begun_again(
    make_rig: MakeRig, fault: str, said: str
) -> None:
    rig = make_rig(2)
    rig.open_base()
    for double in rig.doubles:
        setattr(double.faults, fault, 2)
    came: list[int] = []
    with pytest.raises(EngineFailed, match=said):
        rig.ask(on_token=lambda token, *_: came.append(token), max_tokens=12)
    assert len(came) == 2
    assert sum(len(double.answered) for double in rig.doubles) == 1
    assert rig.engine.waiting() == 0


def test_a_server_that_says_nothing_more_is_left_as_soon_as_nobody_waits(make_rig: MakeRig) -> None:
    rig = make_rig(1)
    rig.open_base()
    rig.doubles[0].faults.stall_after = 2
    gone, came = threading.Event(), list[int]()
    request = rig.request(max_tokens=12, on_token=lambda token, *_: came.append(token), is_cancelled=gone.is_set)
    (future,) = rig.engine.submit([request])
    wait_until(lambda: len(came) == 2, 60.0, "two tokens")
    left = time.monotonic()
    gone.set()
    result = future.result(10)
    assert time.monotonic() - left < 5.0, "far less than the patience with a token"
    assert (result.finish_reason, list(result.token_ids)) == ("cancelled", came)
    assert len(result.logprobs_raw) == 2
    wait_until(lambda: rig.doubles[0].aborted == 1, 60.0, "the server to notice")


def test_answers_go_to_the_replica_with_the_fewest_under_way(make_rig: MakeRig) -> None:
    rig = make_rig(2)
    rig.open_base()
    rig.engine.generate([rig.request(seed=seed) for seed in range(6)])
    assert all(len(double.answered) >= 2 for double in rig.doubles)


def test_an_adapter_that_every_replica_has_lost_is_answered_for_by_whoever_shall_answer_now(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    rig = make_rig(1)
    rig.open_base()
    make_tiny_lora(rig.loaded, tmp_path / "adapters" / "kind")
    rig.engine.load_adapter("kind@1", str(tmp_path / "adapters" / "kind"))
    by_base, by_kind = rig.ask(), rig.ask("kind@1")
    (replica,) = rig.engine.replicas()
    rig.doubles[0].table.clear()

    def again() -> str:
        if "kind@1" in replica.opened():
            return "kind@1"
        replica._opened |= {"base"}  # as a keeper does that has proven the base anew
        return "base"

    (future,) = rig.engine.submit([rig.request("kind@1")], again)
    assert future.result(20).token_ids == by_base != by_kind


def test_where_servers_see_adapters_elsewhere_they_are_told_so(make_rig: MakeRig, tmp_path: Path) -> None:
    make_tiny_lora_at = tmp_path / "adapters" / "kind" / "1"
    rig = make_rig(1, adapters_seen_at=str(tmp_path / "mounted"))
    rig.open_base()
    make_tiny_lora(rig.loaded, make_tiny_lora_at)
    (tmp_path / "mounted").symlink_to(tmp_path / "adapters")
    rig.engine.load_adapter("kind@1", str(make_tiny_lora_at))
    (root,) = [root for root, _, _ in rig.doubles[0].table.values()]
    assert root == str(tmp_path / "mounted" / "kind" / "1")
