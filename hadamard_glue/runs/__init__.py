"""Runs: identity, trunk, execution, records and grids."""
