"""LoRA adapters by multi-objective GRPO, and the gate that would rather refuse than be fooled.

Main path: `jobs` -> `service` -> `trainer` (rollout -> objectives -> advantages -> policy term + regulariser -> step)
-> `gate`. The algorithm is a small algebra of pure functions, composed by name in `algebra.table`.
"""
