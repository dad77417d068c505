"""The model card of an exported folder: scores, data, counts, and how to load it."""

from __future__ import annotations

import json
from typing import Any

from hadamard_glue.glue.sources import source_title
from hadamard_glue.glue.tasks import Task

_LOAD = {
    "merged": """from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")""",
    "peft": """{registers}from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

# the backbone is loaded with a new head of {num_labels} outputs, into which the folder's own is then put
model = AutoPeftModelForSequenceClassification.from_pretrained("FOLDER", num_labels={num_labels}, dtype="float32")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")""",
}
_REGISTERS = "import hadamard_glue  # makes the Hadamard adapter known to PEFT\n"


def card(record: dict[str, Any], task: Task, about: dict[str, Any]) -> str:
    """README.md of an exported folder, front matter included."""
    spec, headline = record["spec"], record["headline"]
    name = f"{spec['backbone']['name']}, {spec['method']['name']}, {task.title}"
    return "\n".join(
        [
            *_front_matter(record, task, about),
            f"# {name}",
            "",
            f"{_kind(about)} One run of `hadamard-glue`: record `{about['record']}`.",
            "",
            f"**{headline['metric']} on {headline['split']}: {100 * headline['value']:.1f}** "
            f"(x 100, one seed{_demo(record)}). {_selection(spec['selection'])}",
            *_flags(record),
            "",
            *_scores(record),
            "",
            "## Parameters",
            "",
            *_counts(record["parameters"]),
            "",
            "## Data and training",
            "",
            *_data(record, task),
            "",
            "```json",
            json.dumps({key: spec[key] for key in spec if key not in ("backbone", "data")}, indent=1),
            "```",
            "",
            *_how_to_load(task, about),
            "",
        ]
    )


def _demo(record: dict[str, Any]) -> str:
    return f"; {source_title('demo')}, no score on GLUE" if record["data"].get("kind") == "demo" else ""


def _front_matter(record: dict[str, Any], task: Task, about: dict[str, Any]) -> list[str]:
    """YAML; a JSON value is one, so that nothing in it needs care."""
    hub = {"base_model": about["backbone"]["path"]} if about["backbone"]["revision"] is not None else {}
    glue = {"datasets": ["nyu-mll/glue"]} if record["data"].get("kind") == "hub" else {}
    demo = [source_title("demo")] if _demo(record) else []
    entries: dict[str, Any] = {
        "language": "en",
        "library_name": "peft" if about["format"] == "peft" else "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["hadamard-glue", str(about["method"]["name"]), f"glue-{task.name}", *demo],
        **hub,
        **glue,
    }
    return ["---", *(f"{key}: {json.dumps(value)}" for key, value in entries.items()), "---", ""]


def _kind(about: dict[str, Any]) -> str:
    if about["format"] == "merged":
        return "A plain checkpoint: what was trained is merged into the backbone's weights, the head included."
    at = f" at revision `{about['backbone']['revision']}`" if about["backbone"]["revision"] else ""
    return f"A PEFT adapter with its head, for the backbone `{about['backbone']['path']}`{at}."


def _selection(rule: str) -> str:
    return {
        "last": "The last epoch.",
        "best_dev": "The best epoch on the very rows that are reported: optimistic.",
        "heldout_half": "The epoch was chosen on one half of the dev rows, the other half is reported.",
    }[rule]


def _flags(record: dict[str, Any]) -> list[str]:
    return ["", "The run collapsed: it predicts one class."] if "collapsed" in record["flags"] else []


def _scores(record: dict[str, Any]) -> list[str]:
    rows = [
        f"| {split} | {metric} | {100 * value:.1f} |"
        for split, metrics in record["metrics"]["final"].items()
        for metric, value in metrics.items()
    ]
    return ["| split | metric | x 100 |", "|---|---|---:|", *rows]


def _counts(parameters: dict[str, Any]) -> list[str]:
    groups = [group for group in ("adapter", "norm", "bias", "backbone") if parameters[group]]
    rows = [f"| {group} | {parameters[group]:,} |" for group in groups]
    return [
        "| group | trained |",
        "|---|---:|",
        *rows,
        f"| head | {parameters['head']:,} |",
        "",
        f"{parameters['trained']:,} trained without the head: {parameters['percent']:.4g} % of the backbone's "
        f"{parameters['backbone_total']:,}.",
    ]


def _data(record: dict[str, Any], task: Task) -> list[str]:
    data, environment = record["data"], record["environment"]
    rows = ", ".join(f"{split} {count:,}" for split, count in data["rows"].items())
    revision = f" at revision `{data.get('revision')}`"
    source = {"hub": f"GLUE's {task.title} from `nyu-mll/glue`{revision}",
              "demo": f"A GLUE-shaped {task.title} ({source_title('demo')}), made by `hadamard_glue`",
              }.get(str(data.get("kind")), f"GLUE's {task.title} from local files")  # fmt: skip
    packages = environment["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "transformers", "peft"))
    return [
        f"{source}; rows: {rows}; fingerprint `{data['fingerprint'][:16]}`. "
        f"Backbone digest `{record['spec']['backbone']['digest'][:16]}`. "
        f"Trained in {environment['precision']} on {environment['device']} with {versions}.",
    ]


def _how_to_load(task: Task, about: dict[str, Any]) -> list[str]:
    registers = _REGISTERS if about["method"]["name"] == "hadamard" else ""
    return [
        "## How to load",
        "",
        "```python",
        _LOAD[about["format"]].format(registers=registers, num_labels=task.num_labels),
        "```",
        "",
        f"Texts were cut at {about['max_length']} tokens. {_outputs(task)} Without any code:",
        "",
        "```",
        "hadamard-glue predict model=FOLDER input=rows.tsv",
        "```",
    ]


def _outputs(task: Task) -> str:
    if task.regression:
        return "The one output is the score, 0 to 5."
    return f"Outputs in order: {', '.join(task.labels)}."
