"""The offline gate: what an adapter must show on held-out prompts before it may meet people."""
