"""Prints what `online-fdr` says of the stream below: run it in an environment of its own with `online-fdr==1.0.0`.

python -m tests.oracles.freeze_online_fdr
"""

from importlib import import_module

ALPHA = 0.1
E_VALUES = (200.0, 500.0, 0.0, 300.0, 480.0, 800.0, 700.0, 1.0, 600.0, 61.0, 33.0, 2000.0)


def main() -> None:
    """Level and decision of e-LOND for each, with the library's own spending sequence, and that sequence."""
    procedure = import_module("online_fdr.e_values.sequential").ELond(ALPHA)
    spending = [procedure.seq.calc_gamma(place, alpha=1.0) for place in range(1, len(E_VALUES) + 1)]
    decided = [(procedure.test_one(value), procedure.current_level) for value in E_VALUES]
    print(f"SPENDING = {spending}\nLEVELS = {[level for _, level in decided]}\nDECIDED = {[yes for yes, _ in decided]}")


if __name__ == "__main__":
    main()
