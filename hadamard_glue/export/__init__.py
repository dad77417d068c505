"""A run's model for use elsewhere: a PEFT folder or a plain checkpoint, and predictions with either."""
