"""Reviews: opinion words with modifiers, negation and contrast; the main clause that is left standing decides."""

from __future__ import annotations

from hadamard_glue.demo.draw import Draw

ASPECTS = ("movie", "film", "plot", "story", "acting", "music", "cast", "ending", "script", "dialogue")
GOOD = ("good", "great", "wonderful", "funny", "moving", "excellent", "brilliant", "charming", "clever", "lovely")
BAD = ("bad", "awful", "terrible", "boring", "dull", "weak", "horrible", "clumsy", "silly", "dreary")
LIKING = ("enjoyed", "admired", "liked")
DISLIKING = ("disliked", "loathed", "regretted")
#: The base forms of the verbs above, for ``did not``.
BASES = {
    "enjoyed": "enjoy", "admired": "admire", "liked": "like",
    "disliked": "dislike", "loathed": "loathe", "regretted": "regret",
}  # fmt: skip
INTENSIFIERS = ("very", "really", "truly", "quite")
NEGATORS = ("not", "never", "hardly", "far from", "anything but")
VIEWERS = ("i", "we", "critics", "viewers")


def opinion(draw: Draw, positive: bool, negated: float) -> str:
    """A clause without full stop that praises (or not) one aspect; negated with this probability."""
    flip = draw.chance(negated)
    wording_positive = positive != flip
    if draw.chance(0.25):
        verb = draw.one(LIKING if wording_positive else DISLIKING)
        said = f"did not {BASES[verb]}" if flip else verb
        return f"{draw.one(VIEWERS)} {said} the {draw.one(ASPECTS)}"
    adjective = draw.one(GOOD if wording_positive else BAD)
    modifier = f"{draw.one(INTENSIFIERS)} " if draw.chance(0.3) else ""
    negator = f"{draw.one(NEGATORS)} " if flip else ""
    if negator.startswith(("far", "anything")):
        modifier = ""
    return f"the {draw.one(ASPECTS)} {draw.one(('is', 'was'))} {negator}{modifier}{adjective}"


def review(draw: Draw, positive: bool) -> str:
    """A review of one sentence; in a contrast both opinions stand, and the main clause decides."""
    form = draw.weighted((("plain", 0.45), ("but", 0.2), ("although", 0.15), ("trailing", 0.1), ("despite", 0.1)))
    if form == "plain":
        return f"{opinion(draw, positive, 0.5)} ."
    decisive, other = opinion(draw, positive, 0.35), opinion(draw, not positive, 0.35)
    if form == "but":
        return f"{other} , but {decisive} ."
    if form == "although":
        return f"although {other} , {decisive} ."
    if form == "trailing":
        return f"{decisive} , although {other} ."
    return f"despite the {draw.one(BAD if positive else GOOD)} {draw.one(ASPECTS)} , {decisive} ."
