"""Closed formulas for the parameters of the twelve named backbones, written down from the papers' architectures."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """What the numbers of a backbone follow from; BART has ``layers`` encoder and as many decoder layers."""

    family: str
    words: int
    width: int
    inner: int
    layers: int


SHAPES = {
    "bert_base": Shape("bert", 30522, 768, 3072, 12),
    "bert_large": Shape("bert", 30522, 1024, 4096, 24),
    "roberta_base": Shape("roberta", 50265, 768, 3072, 12),
    "roberta_large": Shape("roberta", 50265, 1024, 4096, 24),
    "bart_base": Shape("bart", 50265, 768, 3072, 6),
    "bart_large": Shape("bart", 50265, 1024, 4096, 12),
    "electra_base": Shape("electra", 30522, 768, 3072, 12),
    "electra_large": Shape("electra", 30522, 1024, 4096, 24),
    "deberta_base": Shape("deberta", 50265, 768, 3072, 12),
    "deberta_large": Shape("deberta", 50265, 1024, 4096, 24),
    "deberta_v3_base": Shape("deberta-v2", 128100, 768, 3072, 12),
    "deberta_v3_large": Shape("deberta-v2", 128100, 1024, 4096, 24),
}


def dense(inputs: int, outputs: int) -> int:
    """A projection with its bias."""
    return inputs * outputs + outputs


def all_layers(name: str) -> int:
    """Layers that carry an adapter."""
    shape = SHAPES[name]
    return 2 * shape.layers if shape.family == "bart" else shape.layers


def backbone_total(name: str) -> int:
    """The denominator of every percentage: everything but the head."""
    family, words, width, inner, layers = SHAPES[name]
    norm = 2 * width
    attention = 4 * dense(width, width) + norm
    feed_forward = dense(width, inner) + dense(inner, width) + norm
    plain = layers * (attention + feed_forward)
    if family == "bert":  # positions, segments, and the pooler
        return (words + 512 + 2) * width + norm + plain + dense(width, width)
    if family == "electra":
        return (words + 512 + 2) * width + norm + plain
    if family == "roberta":  # 512 positions after the padding id 1, which starts them at 2; one segment; no pooler
        return (words + 514 + 1) * width + norm + plain
    if family == "bart":  # 1,024 positions in each stack, which start at 2; a norm on the embeddings of each
        embeddings = words * width + 2 * (1026 * width + norm)
        return embeddings + plain + layers * (2 * attention + feed_forward)
    if family == "deberta":
        # query, key and value without biases, biases for query and value, positions' key (no bias) and query
        disentangled = 3 * width * width + 2 * width + width * width + dense(width, width) + dense(width, width) + norm
        return words * width + norm + 2 * 512 * width + layers * (disentangled + feed_forward)
    # v3: positions share the projections of the content, 256 buckets in each direction, a norm on them
    return words * width + norm + 2 * 256 * width + norm + plain


def head(name: str, labels: int) -> int:
    """BERT's one Linear; a hidden layer before it in the other families."""
    family, _, width, _, _ = SHAPES[name]
    return dense(width, labels) + (0 if family == "bert" else dense(width, width))


def biases(name: str) -> int:
    """BitFit's set, norms included."""
    family, _, width, inner, layers = SHAPES[name]
    # four biases in self-attention: query, key, value, output; DeBERTa v1: query, value, positions' query, output
    attention, feed_forward = 4 * width + width, inner + width + width
    outside = {
        "bert": 2 * width,  # norm on the embeddings, pooler
        "bart": 2 * width,  # norms on the embeddings of both stacks
        "deberta-v2": 2 * width,  # norms on the embeddings and on the relative positions
    }.get(family, width)
    decoder = layers * (2 * attention + feed_forward) if family == "bart" else 0
    return outside + layers * (attention + feed_forward) + decoder


def norms(name: str) -> int:
    """How many norms the backbone has, inside and outside the layers."""
    family, _, _, _, layers = SHAPES[name]
    return {"bart": 2 + 5 * layers, "deberta-v2": 2 + 2 * layers}.get(family, 1 + 2 * layers)


def hadamard(name: str) -> tuple[int, int]:
    """Adapter and norms of the paper's method: a weight and a bias vector a layer, and one norm."""
    width = SHAPES[name].width
    return 2 * width * all_layers(name), 2 * width * all_layers(name)


def lora(name: str, rank: int) -> int:
    """On query and value of every self-attention; DeBERTa v1 computes query, key and value in one projection."""
    width = SHAPES[name].width
    if SHAPES[name].family == "deberta":
        return all_layers(name) * rank * (width + 3 * width)
    return all_layers(name) * 2 * rank * (width + width)
