"""What the machine can do at most: bf16 products of the model's own shapes, and the products a step cannot do without.

    python -m tests.benchmarks.policy_update_peak TASK.json RESULT.json

A process of its own beside the contestants', with as many threads: the rate is measured in the same run as they are.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig


def rate(product: Callable[[], torch.Tensor], operations: float, cuda: bool) -> float:
    """Operations a second, the median of the second half of some twenty tries."""
    seconds = []
    for _ in range(20):
        begun = time.perf_counter()
        product()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return operations / statistics.median(seconds[10:])


def measure(config: Any, rows: int, cuda: bool) -> float:
    """FLOP/s of the products of one layer at `rows` tokens, all shapes together as a pass meets them."""
    place = "cuda" if cuda else "cpu"
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads, kv, hidden, inner = (
        config.num_attention_heads * width,
        config.num_key_value_heads * width,
        config.hidden_size,
        config.intermediate_size,
    )
    shapes = [(hidden, heads + 2 * kv), (heads, hidden), (hidden, 2 * inner), (inner, hidden)]
    inputs = [torch.randn(rows, i, dtype=torch.bfloat16, device=place) for i, _ in shapes]
    weights = [torch.randn(o, i, dtype=torch.bfloat16, device=place) for i, o in shapes]

    def layer() -> torch.Tensor:
        for x, w in zip(inputs, weights, strict=True):
            result = torch.nn.functional.linear(x, w)
        return result

    return rate(layer, 2.0 * rows * sum(i * o for i, o in shapes), cuda)


def operations(config: Any, task: dict[str, Any], prompt_tokens: int) -> dict[str, float]:
    """FLOP of the products of each phase where every prompt is computed once a phase and nothing twice.

    generation and scoring: a forward pass over all tokens, and the output layer at answer tokens; update: that, the
    gradients of the inputs (as much again; weights are frozen), and the output layer's once more.
    """
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    heads, kv = config.num_attention_heads * width, config.num_key_value_heads * width
    layer = config.hidden_size * (2 * heads + 2 * kv + 3 * config.intermediate_size)
    answers = task["prompts"] * task["group"] * task["new_tokens"]
    body = 2.0 * config.num_hidden_layers * layer * (answers + prompt_tokens)
    head = 2.0 * config.hidden_size * config.vocab_size * answers
    return {"generation": body + head, "scoring": body + head, "update": 2 * (body + head)}


def main() -> None:
    task: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(task["threads"])
    cuda = torch.cuda.is_available()
    config = AutoConfig.from_pretrained(task["model"])
    rows = task["prompts"] * task["group"]
    rates = {"generation": measure(config, rows, cuda), "scoring": measure(config, 8 * rows, cuda)}
    result = {
        "rates": rates | {"update": rates["scoring"]},
        "operations": operations(config, task, task["prompt_tokens"]),
    }
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
