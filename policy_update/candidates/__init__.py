"""What one cycle puts before the gate: trainings at several weightings, and linear combinations that cost none.

Soups (arXiv 2306.04488) are means of trained adapters; extrapolation (ExPO, arXiv 2404.16792) goes on in the direction
a training took. Both are sums of LoRA products, so both are exact: see `linear`.
"""
