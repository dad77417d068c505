"""Hydra configs, found as pkg://hadamard_glue.configs."""
