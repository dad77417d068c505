"""The demo world: eight GLUE-shaped tasks and pretraining text from one seeded grammar (synthetic, English-like)."""
