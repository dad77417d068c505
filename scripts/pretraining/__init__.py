"""Pretraining of the demo backbones: text, vocabularies, architectures, objectives, the loop and the card."""
