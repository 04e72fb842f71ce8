"""Sequences laid end to end without padding, a prefix that several of them share being there once.

A padded batch computes every row to the length of the longest, and a shared prompt once a row. Packed, a batch costs
its distinct tokens: a group of G sequences with a common prefix of P tokens costs P + sum(L_g - P).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """Where one group lies: tokens [start, start + prefix) are common; `suffixes` are the (start, end) of what each of
    its sequences adds, in their order, the first directly behind the prefix."""

    start: int
    prefix: int
    suffixes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Packed:
    """`ids`, `positions` [1, T]: tokens and their places in their own sequences. `last` [N]: index in T of the last
    token of every sequence, in the order of the groups and within them."""

    ids: Tensor
    positions: Tensor
    last: Tensor
    groups: tuple[Group, ...]

    @property
    def tokens(self) -> int:
        return int(self.ids.shape[1])


def shared_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Tokens at the start that all sequences have in common, at least one of each left over. 0 for a single one.

    A token's hidden state under a causal model depends on what precedes it alone: equal beginnings, equal states.
    """
    if len(sequences) < 2:
        return 0
    # The lexicographic extremes differ at least as early as any other pair.
    ordered = sorted(map(tuple, sequences))
    low, high = ordered[0], ordered[-1]
    limit = min(map(len, sequences)) - 1
    return next((i for i in range(limit) if low[i] != high[i]), limit)


def packed_size(sequences: Sequence[Sequence[int]]) -> int:
    """Tokens a group costs when packed."""
    common = shared_prefix(sequences)
    return common + sum(len(sequence) - common for sequence in sequences)


def pack(groups: Sequence[Sequence[Sequence[int]]], device: torch.device | str = "cpu") -> Packed:
    """Lay out groups of non-empty sequences. Raises ValueError for a group or a sequence without content."""
    ids: list[int] = []
    positions: list[int] = []
    last: list[int] = []
    laid: list[Group] = []
    for sequences in groups:
        if not sequences or not all(sequences):
            raise ValueError("a group without sequences, or a sequence without tokens, has no hidden states")
        start, common = len(ids), shared_prefix(sequences)
        ids += sequences[0][:common]
        positions += range(common)
        suffixes = []
        for sequence in sequences:
            begin = len(ids)
            ids += sequence[common:]
            positions += range(common, len(sequence))
            suffixes.append((begin, len(ids)))
            last.append(len(ids) - 1)
        laid.append(Group(start, common, tuple(suffixes)))
    return Packed(
        torch.tensor([ids], dtype=torch.long, device=device),
        torch.tensor([positions], dtype=torch.long, device=device),
        torch.tensor(last, dtype=torch.long, device=device),
        tuple(laid),
    )


def budgeted(sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Consecutive indices whose sizes add up to at most `budget`; what is larger by itself comes alone."""
    batch: list[int] = []
    total = 0
    for index, size in enumerate(sizes):
        if batch and total + size > budget:
            yield batch
            batch, total = [], 0
        batch.append(index)
        total += size
    if batch:
        yield batch


def prompt_groups(sequences: Sequence[Sequence[int]], starts: Sequence[int], budget: int) -> list[list[int]]:
    """Indices of sequences with equal prompts (the tokens before `starts`), a group of at most `budget` tokens packed,
    or of one sequence. In the order in which the prompts first come."""
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for index, (sequence, start) in enumerate(zip(sequences, starts, strict=True)):
        by_prompt.setdefault(tuple(sequence[:start]), []).append(index)
    groups = []
    for prompt, members in by_prompt.items():
        answers = [len(sequences[i]) - len(prompt) for i in members]
        for batch in budgeted(answers, max(1, budget - len(prompt))):
            groups.append([members[b] for b in batch])
    return groups


def tokens_of(group: Group, member: int, start: int, end: int) -> list[int]:
    """Indices in T of tokens start..end of the group's sequence `member`."""
    begin = group.suffixes[member][0]
    return [group.start + p if p < group.prefix else begin + p - group.prefix for p in range(start, end)]


def block_mask(packed: Packed) -> Tensor:
    """[T, T], true where a token (row) sees another: what precedes it in its own sequence, and itself."""
    allowed = torch.zeros(packed.tokens, packed.tokens, dtype=torch.bool)
    for group in packed.groups:
        shared = slice(group.start, group.start + group.prefix)
        allowed[shared, shared] = True
        for begin, end in group.suffixes:
            allowed[begin:end, shared] = True
            allowed[begin:end, begin:end] = True
    return allowed.tril().to(packed.ids.device)
