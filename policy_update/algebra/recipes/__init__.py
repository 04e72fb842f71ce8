"""Recipes as data, by family; `policy_update.algebra.table` has them all."""
