"""Training: the recipe of stages, stage-1 features, and the loop."""
