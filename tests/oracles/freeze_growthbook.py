"""Freezes what GrowthBook's own SDK answers: run it in an environment of its own with `growthbook==4.0.0`.

python tests/oracles/freeze_growthbook.py > tests/ab_testing/golden_growthbook.json
"""

import json
import random
from importlib.metadata import version

from growthbook import Experiment, GrowthBook
from growthbook.core import fnv1a32, gbhash, getBucketRanges, inNamespace


def _text(draw: random.Random) -> str:
    alphabets = ("abcdefgh-0123456789", "äöüßéñ", "日本語テキスト", "😀🎉𝒳", "a\ud83d\udc00")
    return "".join(draw.choice(draw.choice(alphabets)) for _ in range(draw.randrange(0, 24)))


def _run(draw: random.Random, number: int) -> list[object]:
    """One experiment over several people: [seed, version, variations, coverage, namespace, [[person, variation]]]."""
    seed, hash_version, variations = f"exp-{number}", draw.choice((1, 2)), draw.choice((2, 3, 4))
    coverage = draw.choice((0.02, 0.1, 0.3, 0.5, 0.8, 1.0))
    namespace = draw.choice((None, ["shop", 0.0, 0.4], ["shop", 0.4, 1.0]))
    found = []
    for person in [f"user-{number}-{n}" for n in range(40)]:
        experiment = Experiment(
            key="key", seed=seed, hashVersion=hash_version, variations=list(range(variations)), coverage=coverage,
            namespace=None if namespace is None else tuple(namespace),
        )  # fmt: skip
        result = GrowthBook(attributes={"id": person}).run(experiment)
        found.append([person, result.variationId if result.inExperiment else None])
    return [seed, hash_version, variations, coverage, namespace, found]


def main() -> None:
    draw = random.Random(7)
    pairs = [["exp1", "user-1"], ["exp1", "user-42"], ["exp-a", "ü"]] + [[_text(draw), _text(draw)] for _ in range(120)]
    print(
        json.dumps(
            {
                "made_by": f"growthbook {version('growthbook')}",
                "fnv1a32": [[text, fnv1a32(text)] for text in ("", "hello", "ü", "😀", "\ud83d")],
                "buckets": [[seed, value, gbhash(seed, value, 1), gbhash(seed, value, 2)] for seed, value in pairs],
                "namespaces": [
                    [person, low, inNamespace(person, ("shop", low, low + 0.25))]
                    for person in (f"user-{n}" for n in range(40))
                    for low in (0.0, 0.25, 0.5, 0.75)
                ],
                "ranges": [
                    [n, coverage, weights, getBucketRanges(n, coverage, weights)]
                    for n, coverage, weights in (
                        (2, 1, None), (2, 0.5, None), (3, 0.3, None), (4, 0.02, None), (2, 0.5, [0.4, 0.6]),
                        (2, -0.2, None), (2, 1.5, None), (2, 1, [0.4, 0.1]), (2, 1, [0.7, 0.305]), (3, 1, [0.5, 0.5]),
                    )
                ],
                "runs": [_run(draw, number) for number in range(24)],
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
