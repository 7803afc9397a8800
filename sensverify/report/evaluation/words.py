"""How an evaluation is said: shares, radii, names, and what is proven and what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sensverify.classification.rates import Rate
from sensverify.core.results import Guarantee
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.report.words import pretty_number

DASH = "\N{EN DASH}"
_SPACE = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"
_PROVEN = {
    Guarantee.ESTIMATE: "not proven",
    Guarantee.PROBABILISTIC: "proven up to the chance that the method states",
    Guarantee.SOLVER: "proven up to a solver's own tolerances",
    Guarantee.SOUND: "proven in real arithmetic, computed in floating-point numbers",
    Guarantee.CERTIFIED: "proven, and checked independently in rigorous arithmetic",
}

ATTACKED = (
    "Accuracy under attack is an estimate from one side: every input that an attack has found "
    "counts, and a stronger attack may find more."
)
BETWEEN = "The accuracy in the worst case lies in between."


def percent(share: float | None, places: int = 1) -> str:
    """A share of 1 as ``96.7 %``; a dash for None."""
    return DASH if share is None else f"{signed(100 * share, places)}{_SPACE}%"


def signed(value: float, places: int) -> str:
    """A number with so many decimals and a true minus sign, never a minus zero."""
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", _MINUS)


def points(difference: float | None) -> str:
    """A difference of two shares, in percentage points: ``−3.2``; a dash for None."""
    return DASH if difference is None else signed(100 * difference, 1)


def interval(rate: Rate) -> str:
    """Wilson's interval: ``95.1 to 97.8 %``."""
    lower, upper = rate.interval
    return f"{100 * lower:.1f} to {100 * upper:.1f}{_SPACE}%"


def counted(rate: Rate) -> str:
    """``485 of 500``."""
    return f"{rate.count:,} of {rate.total:,}"


def radius_text(radius: float) -> str:
    """A radius: ``0.1``, or ``8/255`` where it is a whole number of grey levels."""
    levels = 255 * radius
    whole = round(levels)
    if 0 < whole <= 255 and abs(levels - whole) < 1e-5 and len(f"{radius:.10g}") > 6:
        return f"{whole}/255"
    return f"{radius:.4g}"


def number(value: float | None) -> str:
    """A number for people, as it is set in print; a dash for None."""
    if value is None:
        return DASH
    return (
        f"{round(value):,}"
        if value == round(value) and 1e3 <= abs(value) < 1e9
        else (pretty_number(value))
    )


def spoken(name: str) -> str:
    """A corruption's name in words: ``gaussian noise``."""
    return name.replace("_", " ").replace("-", " ")


def clipped(text: str, length: int) -> str:
    """A text that is at most so long."""
    return text if len(text) <= length else text[: length - 1] + "…"


def count_of(number: int, what: str) -> str:
    """``1 sample``, ``2,000 samples``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def without_settings(names: Sequence[str]) -> dict[str, str]:
    """Names of attacks or methods without what stands in brackets, where they stay apart."""
    short = {name: _outside(name) for name in names}
    shared = Counter(short.values())
    return {name: name if shared[text] > 1 else text for name, text in short.items()}


def _outside(name: str) -> str:
    """What is not in brackets, also not in brackets within brackets."""
    depth, kept = 0, ""
    for sign in name:
        depth += sign == "("
        kept += sign if depth == 0 else ""
        depth -= sign == ")"
    return kept.strip()


def certified_words(models: Sequence[ModelEvaluation]) -> str:
    """What the certified rows prove, by the weakest guarantee among them; empty without any."""
    names = sorted({row.guarantee for model in models for row in model.certified})
    if not names:
        return ""
    known = [Guarantee[name] for name in names if name in Guarantee.__members__]
    words = _PROVEN[min(known)] if len(known) == len(names) else "as sure as its guarantee"
    return (
        f"Certified accuracy is {words} ({', '.join(names)}): no input within the radius, found or "
        "not, changes the label of these samples."
    )


def guarantee_words(evaluation: Evaluation) -> list[str]:
    """Sentences on what this evaluation proves and what it estimates."""
    sentences = [ATTACKED] if any(model.attacks for model in evaluation.models) else []
    proven = certified_words(evaluation.models)
    if proven:
        sentences.append(proven)
    if len(sentences) == 2:
        sentences.append(BETWEEN)
    return sentences


def blind_words(evaluation: Evaluation) -> list[str]:
    """Of which attacks the gradients vanished, a sentence for each network and attack."""
    sentences = []
    for model in evaluation.models:
        most: dict[str, int] = {}
        for row in model.attacks:
            most[row.attack] = max(most.get(row.attack, 0), len(row.blind))
        sentences += [
            f"{name} finds no gradient at {count_of(count, 'sample')} of {model.model.name} that "
            "kept the label, though the outputs change there: it says nothing of them; add an "
            "attack that needs none, such as square"
            for name, count in most.items()
            if count
        ]
    return sentences


def samples_words(evaluation: Evaluation) -> str:
    """Which samples: ``500 of 10,000 test samples of mnist, evenly spread over the test part``."""
    if evaluation.samples == evaluation.available:
        text = f"All {count_of(evaluation.samples, 'test sample')} of {evaluation.data}"
        return text.replace("All 1 test", "The only test")
    return (
        f"{evaluation.samples:,} of {count_of(evaluation.available, 'test sample')} of "
        f"{evaluation.data}, {evaluation.chosen}"
    )


def radius_words(evaluation: Evaluation) -> str:
    """What a radius means; empty where there is none."""
    if not evaluation.radii:
        return ""
    text = f"Radii are {evaluation.radius_unit}"
    if evaluation.clip is not None:
        low, high = evaluation.clip
        text += f", and inputs stay in [{low:g},\N{NO-BREAK SPACE}{high:g}]"
    return text + "."
