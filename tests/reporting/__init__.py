"""Tests of the tables; records are synthetic, from ``records.py``."""
