"""Colours and strokes of pages and charts, for light and dark, from which style sheets are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

PALETTE = {
    "ink": ("#1b222c", "#e8ebef"),
    "soft": ("#56606d", "#a3adb9"),
    "paper": ("#faf9f6", "#11151a"),
    "card": ("#ffffff", "#191f27"),
    "line": ("#e0ddd5", "#2b333e"),
    "grid": ("#ecebe6", "#242c36"),
    "zero": ("#a9afb7", "#5d6874"),
    "bar": ("#b9c3ce", "#4b5866"),
    "dot": ("#1b222c", "#f4f6f8"),
    "accent": ("#1d6a8a", "#58b0d3"),
    "good": ("#1f7246", "#74cf9c"),
    "good-soft": ("#e3f1e8", "#17301f"),
    "bad": ("#a8322b", "#f0948b"),
    "bad-soft": ("#f9e6e3", "#3a1d1b"),
    "open": ("#7d5a06", "#e3bd62"),
    "open-soft": ("#f7eed6", "#33290f"),
    "worst": ("#c2500a", "#ff9d57"),
    "certified": ("#1d6a8a", "#58b0d3"),
    "undecided": ("#8b8471", "#8f8a7c"),
    # Every kind of colour vision tells neighbours apart; dashes tell lines apart in print.
    "hue0": ("#7a4fa3", "#bb96e6"),
    "hue1": ("#8a7400", "#d9c04a"),
    "hue2": ("#0f8272", "#57cbb7"),
    "hue3": ("#b0417f", "#ee8dbd"),
    "hue4": ("#6b4a2b", "#c9a27c"),
    "hue5": ("#4a6fd0", "#93aef5"),
    # From little to much: ever darker on light paper, ever brighter on dark.
    "tint0": ("#5aa9c4", "#4f6d9f"),
    "tint1": ("#3f7fb5", "#4f9bb5"),
    "tint2": ("#5a4fa8", "#6cc59a"),
    "tint3": ("#8a2f7d", "#c6d969"),
    "tint4": ("#5e0f33", "#fff0a0"),
}
"""Colour on light and on dark pages, by name."""

HUES = 6
"""Colours of lines; further lines repeat them with other dashes."""

TINTS = 5
"""Colours of a scale from little to much."""

_OWN = {
    **{name: name for name in ("worst", "certified", *(f"hue{k}" for k in range(HUES)))},
    **{name: name for name in (f"tint{k}" for k in range(TINTS))},
    "also-certified": "certified",
    "unknown": "zero",
}
"""Words of a look that say a mark's own colour."""

_PLAIN = "soft"
"""Colour of marks whose look says none of their own."""

LOOKS: dict[str, dict[str, str]] = {
    "grid": {"stroke": "grid"},
    "zero": {"stroke": "zero"},
    "outer": {"fill": "bar"},
    "own-bar": {"fill": "accent", "opacity": ".55"},
    "inner": {"fill": "ink", "opacity": ".45"},
    "dot": {"fill": "dot", "stroke": "card", "stroke-width": "1.5"},
    "kept": {"fill": "good", "opacity": ".8"},
    "unsure": {"fill": "open", "opacity": ".8"},
    "lost": {"fill": "bad", "opacity": ".8"},
    "column": {"fill": "accent", "opacity": ".75"},
    "over": {"fill": "worst", "opacity": ".55"},
    "under": {"fill": "accent", "opacity": ".3"},
    "right": {"fill": "accent", "opacity": ".8"},
    "size": {"fill": "zero"},
    "diagonal": {"stroke": "soft", "stroke-dasharray": "3 3"},
    "sure": {"stroke": "ink", "stroke-width": "2"},
    "undecided": {"fill": "undecided", "opacity": ".17"},
    "line": {"fill": "none", "stroke": "own", "stroke-width": "1.5"},
    "stage": {"stroke-width": ".7", "opacity": ".45"},
    "point": {"fill": "own"},
    "reach": {"fill": "none", "pointer-events": "all"},
    "band": {"fill": "own", "opacity": ".15"},
    "bold": {"stroke-width": "3"},
    "fine": {"stroke-width": ".9"},
    "patch": {"fill": "own"},
    "dash1": {"stroke-dasharray": "6 3"},
    "dash2": {"stroke-dasharray": "2 3"},
    "dashed": {"stroke-dasharray": "7 4"},
    "also-certified": {"stroke-dasharray": "5 3"},
    "lead": {
        **{"fill": "none", "stroke": "own", "stroke-width": ".7"},
        **{"opacity": ".55", "stroke-dasharray": "none"},
    },
    "own": {"fill": "accent", "font-weight": "700"},
    "name": {"fill": "own", "font-size": "12px", "font-weight": "500"},
    "worst": {"font-weight": "700"},
    "certified": {"font-weight": "700"},
    "area": {
        **{"font-size": "12px", "font-style": "italic", "paint-order": "stroke"},
        **{"stroke": "card", "stroke-width": "3px", "stroke-opacity": ".7"},
    },
    "heading": {"fill": "ink", "font-size": "14px", "font-weight": "700"},
    "title": {"fill": "ink", "font-size": "13px", "font-weight": "600"},
}
"""Properties of marks by a word of their look; of two rules for one property the later counts."""

_TEXT = (
    'svg text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; '
    "fill: var(--soft); font-variant-numeric: tabular-nums; }\n"
    "svg polyline { fill: none; stroke-linejoin: round; }"
)


def palette_style() -> str:
    """Every colour as a property of the page, light and dark; paper is light."""
    light, dark = (
        " ".join(f"--{name}: {pair[place]};" for name, pair in PALETTE.items()) for place in (0, 1)
    )
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    )


def standalone_style() -> str:
    """The style sheet of a drawing that is a file of its own."""
    return f"{palette_style()}\n{chart_style()}\nsvg {{ background: var(--card); }}"


def chart_style() -> str:
    """Rules for the marks of drawings."""
    own = (f"svg .{word} {{ --own: var(--{name}); }}" for word, name in _OWN.items())
    return "\n".join([_TEXT, *own, *map(_rule, LOOKS, LOOKS.values())])


def _rule(word: str, properties: Mapping[str, str]) -> str:
    inside = "; ".join(
        f"{name}: {_colour(value) if name in ('fill', 'stroke') else value}"
        for name, value in properties.items()
    )
    return f"svg .{word} {{ {inside}; }}"


def _colour(name: str) -> str:
    """A colour as style sheets write it; a mark without a colour of its own has `_PLAIN`."""
    if name == "none":
        return name
    return f"var(--own, var(--{_PLAIN}))" if name == "own" else f"var(--{name})"


def properties(look: str) -> dict[str, str]:
    """Properties of a look by the theme, with colours as they are on light paper."""
    words = look.split()
    own = next((_OWN[word] for word in words if word in _OWN), _PLAIN)
    found: dict[str, str] = {}
    for word, values in LOOKS.items():
        if word in words:
            found |= values
    for name in {"fill", "stroke"} & found.keys():
        value = own if found[name] == "own" else found[name]
        found[name] = PALETTE[value][0] if value != "none" else value
    return found


STEPS = 20
"""Steps of the scale of shares; step 0 is a share of 0."""

_Colour = tuple[float, float, float]
# What is lost stands out from the page: pale to dark on light paper, dark to bright on dark.
# Lightness alone tells the order, also in grey and to every kind of colour vision.
_LIGHT: tuple[_Colour, ...] = ((84, 13, 74), (178, 42, 76), (233, 125, 74), (250, 205, 137),
    (243, 244, 236))  # fmt: skip
_DARK: tuple[_Colour, ...] = ((255, 226, 150), (244, 152, 82), (190, 66, 84), (96, 38, 88),
    (33, 36, 46))  # fmt: skip


# The same for what is below zero, as dark and as bright as above.
_LIGHT_BELOW: tuple[_Colour, ...] = ((16, 34, 94), (32, 92, 158), (86, 156, 201), (175, 212, 231),
    (243, 244, 236))  # fmt: skip
_DARK_BELOW: tuple[_Colour, ...] = ((190, 236, 255), (112, 182, 232), (56, 118, 186), (36, 62, 110),
    (33, 36, 46))  # fmt: skip


def step(share: float) -> str:
    """The class of a cell with this share, from ``h0`` to ``h20``."""
    return f"h{round(STEPS * min(max(share, 0.0), 1.0))}"


def signed_step(strength: float) -> str:
    """The class of a cell by its distance from zero, -1 to 1: ``h20`` for 0, ``b0`` for -1."""
    found = step(1 - abs(strength))
    return found.replace("h", "b") if strength < 0 else found


def heat_style() -> str:
    """The style sheet of the scales of shares, for light and dark pages, and for paper."""
    light, dark = (
        "\n".join((*_heat_rules("h", above), *_heat_rules("b", below)))
        for above, below in ((_LIGHT, _LIGHT_BELOW), (_DARK, _DARK_BELOW))
    )
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"


def _heat_rules(letter: str, ramp: tuple[_Colour, ...]) -> Iterator[str]:
    for k in range(STEPS + 1):
        colour = _mixed(ramp, k / STEPS)
        # Where white and black can be read equally well.
        ink = "#fff" if _luminance(colour) < 0.179 else "#000"
        red, green, blue = (round(c) for c in colour)
        yield f".{letter}{k} {{ background: rgb({red} {green} {blue}); color: {ink}; }}"


def _mixed(ramp: tuple[_Colour, ...], at: float) -> _Colour:
    place = at * (len(ramp) - 1)
    first = min(int(place), len(ramp) - 2)
    part = place - first
    red, green, blue = (
        a + part * (b - a) for a, b in zip(ramp[first], ramp[first + 1], strict=True)
    )
    return red, green, blue


def _luminance(colour: _Colour) -> float:
    """WCAG 2's relative luminance, from 0 to 1."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (value / 255 for value in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
