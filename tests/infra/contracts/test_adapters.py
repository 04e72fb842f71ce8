import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import AdapterVersion, Fingerprint
from infra.contracts.adapters import InvalidAdapterRef, parse_ref


@pytest.mark.parametrize(("ref", "parts"), [("loop@1", ("loop", 1)), ("a-2-b@120", ("a-2-b", 120))])
def test_good_refs(ref: str, parts: tuple[str, int]) -> None:
    assert parse_ref(ref) == parts


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "base",
        "loop",
        "loop@",
        "loop@0",
        "loop@01",
        "loop@-1",
        "Loop@1",
        "-loop@1",
        "a@1@2",
        "loop@1\n",
        "x" * 64 + "@1",
        "ü@1",
    ],
)
def test_bad_refs_say_what_and_how(ref: str) -> None:
    with pytest.raises(InvalidAdapterRef, match="name@version") as raised:
        parse_ref(ref)
    assert (raised.value.status, raised.value.field) == (400, "adapter")
    assert repr(ref) in str(raised.value)


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True), st.integers(1, 10**9))
def test_ref_and_parts_are_inverse(name: str, version: int) -> None:
    adapter = AdapterVersion(
        project="p",
        name=name,
        version=version,
        path="/a",
        base_model_hash="h",
        file_hashes={},
        fingerprint=Fingerprint("probe", ((-0.5,),), 0.01),
        state="candidate",
        parent="base",
        created_at=1.0,
    )
    assert parse_ref(adapter.ref) == (name, version)
    assert msgspec.json.decode(msgspec.json.encode(adapter), type=AdapterVersion) == adapter
