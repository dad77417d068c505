"""Operations of the backbone's matrix products, counted by formula from the rows that every layer was given.

A linear layer of [rows, in] x [in, out] costs 2 rows in out operations forward; the same again backward where its input
carries a gradient, and once more where its weight is trained. A self- or cross-attention costs 4 queries keys width
forward (two products), and twice that backward. Rows are counted as computed, padding included. Left out: everything
element-wise, the head (its share is below a thousandth), DeBERTa's products with relative positions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from hadamard_glue.backbones.loading import Backbone

FORMULA = (
    "linear layer: 2 rows in out forward, the same backward where its input carries a gradient, the same where its "
    "weight is trained; attention: 4 queries keys width forward, twice that backward; rows as computed, padding "
    "included; no element-wise work, no head, no products with relative positions"
)


@dataclass
class PhaseOperations:
    """What one phase computed: operations of attention, and calls of matrix products by (rows, inner, out)."""

    attention: int = 0
    products: Counter[tuple[int, int, int]] = field(default_factory=Counter)

    def plain(self) -> dict[str, Any]:
        """As JSON values; :meth:`from_plain` reads them."""
        return {"attention": self.attention, "products": [[*shape, calls] for shape, calls in self.products.items()]}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> PhaseOperations:
        """What :meth:`plain` wrote."""
        products = Counter({(rows, inner, out): calls for rows, inner, out, calls in plain["products"]})
        return cls(plain["attention"], products)

    @property
    def linear(self) -> int:
        """Operations of the linear layers."""
        return sum(2 * rows * inner * out * calls for (rows, inner, out), calls in self.products.items())

    @property
    def total(self) -> int:
        """All operations."""
        return self.linear + self.attention


class Tally:
    """Watches a backbone while a run goes through it; the phase follows from the mode the backbone is in.

    With cached features the backbone is in eval mode first (``features``), then in train mode (``stage2``), then in
    eval mode again (``evaluation``).
    """

    def __init__(self) -> None:
        self.phases = {name: PhaseOperations() for name in ("features", "stage2", "evaluation")}
        self._trained = False

    def watch(self, backbone: Backbone) -> None:
        """Put a hook before every linear layer of the backbone, and before those that make queries and keys.

        The hooks are closures, which a copied model shares with the original.
        """
        for path, module in backbone.model.named_modules():
            if isinstance(module, nn.Linear) and not _is_below(path, backbone.anatomy.head_modules):
                module.register_forward_pre_hook(self._linear(module))
        for layer in backbone.anatomy.layers:
            for part in (layer, layer.cross):
                if part is not None:
                    seen: dict[str, Tensor] = {}
                    for role in ("query", "key"):
                        linear = backbone.model.get_submodule(getattr(part, role))
                        linear.register_forward_pre_hook(self._attention(role, seen, linear))

    def _phase(self, training: bool) -> PhaseOperations:
        self._trained |= training
        return self.phases["stage2" if training else "evaluation" if self._trained else "features"]

    def _linear(self, linear: nn.Linear) -> Callable[..., None]:
        inner, out = linear.in_features, linear.out_features

        def count(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            rows = inputs[0].numel() // inner
            products = self._phase(module.training).products
            products[rows, inner, out] += 1
            if inputs[0].requires_grad:
                products[rows, out, inner] += 1
            if linear.weight.requires_grad:
                products[out, rows, inner] += 1

        return count

    def _attention(self, role: str, seen: dict[str, Any], linear: nn.Module) -> Callable[..., None]:
        def count(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            given = inputs[0]
            seen[role] = (given.numel() // given.shape[-1], given.shape[-2], given.shape[-1], given.requires_grad)
            if len(seen) == 2:
                (queries, _, width, needs), (_, keys, _, needs_too) = seen["query"], seen["key"]
                once = 4 * queries * keys * width
                self._phase(module.training).attention += once * (3 if needs or needs_too else 1)
                seen.clear()

        return count


def _is_below(path: str, modules: tuple[str, ...]) -> bool:
    return any(path == module or path.startswith(f"{module}.") for module in modules)
