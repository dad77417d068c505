"""The demo, synthetic backbones: one tiny pretrained model of each family, with its card; scripts/pretrain_demo.py."""
