"""``HadamardConfig``: where the Hadamard adapter goes, a PEFT configuration that fills itself from the anatomy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from peft.config import PeftConfig
from peft.utils import TaskType
from pydantic import ValidationError
from torch import nn

from hadamard_glue.backbones.anatomy import Anatomy, resolve
from hadamard_glue.backbones.families import FAMILIES, family_table
from hadamard_glue.config import LayeredMethod
from hadamard_glue.errors import InputError

PEFT_TYPE = "HADAMARD"
SITES = ("heads", "projection")
NORMS: dict[str, tuple[str, ...]] = {
    "none": (),
    "attention": ("attention_norm",),
    "ffn": ("ffn_norm",),
    "both": ("attention_norm", "ffn_norm"),
}


@dataclass
class HadamardConfig(PeftConfig):
    """Configuration of the Hadamard adapter.

    ``HadamardConfig(task_type="SEQ_CLS")`` is all that a sequence classification model of a supported family needs:
    what is left out is filled from the family's anatomy when the adapter is injected, the new parts of the model that
    have to be trained and saved with it (its head) included.

    Attributes:
        site: ``heads`` adapts the input of the attention output projection (the concatenated heads), ``projection`` its
            output, before dropout and the residual sum.
        norm: which norms train beside the adapter: ``attention``, ``ffn``, ``both`` or ``none``.
        layers: ``"all"``, a list of layer indices, or an inclusive range ``"4-11"``; encoder before decoder.
        target_modules: full paths of the attention output projections. Given by hand, they are taken as they are, and
            ``norm``, ``layers`` do nothing: ``norm_modules`` then says which norms train.
        norm_modules: full paths of the norms that train beside the adapter.
        modules_to_save: modules that train and are saved whole; with ``task_type="SEQ_CLS"`` the head is added.
        fitted_to: family, hidden size and number of layers of the backbone that filled this configuration; another is
            refused.

    Raises:
        InputError: a setting that does not exist.
    """

    site: str = field(default="heads", metadata={"help": "heads | projection"})
    norm: str = field(default="attention", metadata={"help": "attention | ffn | both | none"})
    layers: Any = field(default="all", metadata={"help": "all, a list of indices, or a range such as 4-11"})
    target_modules: list[str] | None = field(default=None, metadata={"help": "attention output projections"})
    norm_modules: list[str] | None = field(default=None, metadata={"help": "norms trained beside the adapter"})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "modules trained and saved whole"})
    fitted_to: dict[str, Any] | None = field(default=None, metadata={"help": "the backbone that filled this"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PEFT_TYPE
        if self.site not in SITES:
            raise InputError(f"site={self.site} is not valid (one of {', '.join(SITES)})")
        if self.norm not in NORMS:
            raise InputError(f"norm={self.norm} is not valid (one of {', '.join(NORMS)})")
        try:
            layers = LayeredMethod(layers=self.layers).layers
        except ValidationError as error:
            raise InputError(f"layers={self.layers}: expected 'all', a list or a range such as 4-11") from error
        self.layers = layers if isinstance(layers, str) else list(layers)


def fit(config: HadamardConfig, model: nn.Module) -> None:
    """Fill what ``config`` leaves open from the anatomy of ``model``, in place; refuse a backbone that it does not fit.

    Raises:
        InputError: a model of another family or shape than the one that filled the configuration, an unsupported
            family without ``target_modules``, or a layer beyond the last.
    """
    settings = getattr(model, "config", None)
    family = str(getattr(settings, "model_type", None))
    if config.fitted_to is not None:
        _check_fits(config.fitted_to, family, model)
    if family not in FAMILIES and config.target_modules:
        return
    family_table(family)
    anatomy = resolve(model)  # type: ignore[arg-type]  # a model with a known model_type is a PreTrainedModel
    if not config.target_modules:
        layers = anatomy.chosen(config.layers)
        config.target_modules = [layer.attention_output for layer in layers]
        config.norm_modules = [getattr(layer, norm) for layer in layers for norm in NORMS[config.norm]]
        config.fitted_to = _shape(family, model, anatomy)
    if config.task_type == TaskType.SEQ_CLS:
        given = list(config.modules_to_save or ())
        config.modules_to_save = given + [path for path in head_to_save(model, anatomy) if path not in given]


def head_to_save(model: nn.Module, anatomy: Anatomy) -> list[str]:
    """The modules with parameters that a checkpoint of the backbone does not hold.

    PEFT itself knows ``classifier`` and ``score`` alone; BART's ``classification_head``, DeBERTa's ``pooler`` and the
    pooler that a BERT file lacked would be left random, frozen and unsaved.
    """
    paths = [path for path in anatomy.head_modules if any(True for _ in model.get_submodule(path).parameters())]
    pooler = FAMILIES[anatomy.family].pooler
    if pooler is not None and pooler not in paths and _is_new(model, pooler):
        paths.insert(0, pooler)
    return paths


def _is_new(model: nn.Module, path: str) -> bool:
    """Whether ``from_pretrained`` drew a module anew: it marks every parameter that it loaded."""
    inside = {id(parameter) for parameter in model.get_submodule(path).parameters()}
    loaded = {id(value) for value in model.parameters() if getattr(value, "_is_hf_initialized", False)}
    return bool(loaded) and not inside & loaded


def _shape(family: str, model: nn.Module, anatomy: Anatomy) -> dict[str, Any]:
    return {"family": family, "hidden_size": _hidden_size(model), "layers": len(anatomy.layers)}


def _check_fits(fitted_to: dict[str, Any], family: str, model: nn.Module) -> None:
    found = {"family": family, "hidden_size": _hidden_size(model), "layers": None}
    if family == fitted_to["family"]:
        found = _shape(family, model, resolve(model))  # type: ignore[arg-type]
    if found != fitted_to:
        raise InputError(f"this Hadamard adapter is for {_words(fitted_to)}, the model given is {_words(found)}")


def _words(shape: dict[str, Any]) -> str:
    layers = "" if shape["layers"] is None else f", {shape['layers']} layers"
    return f"a {shape['family']} of hidden size {shape['hidden_size']}{layers}"


def _hidden_size(model: nn.Module) -> int | None:
    return getattr(getattr(model, "config", None), "hidden_size", None)
