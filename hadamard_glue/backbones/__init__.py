"""Backbones: the anatomy of each family, loading of pretrained weights, pooled features and the head."""
