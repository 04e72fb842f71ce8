"""The reward specification: versions of it, a candidate beside the one in force, and how the two compare."""
