"""Strength of every severity of every corruption, with its source.

Tables of Hendrycks & Dietterich come in pairs: the one of CIFAR-10-C (32 pixels), for images with
sides below 96 pixels, and the one of ImageNet-C (224 pixels), for all others. Ranges of Laugros are
cut into five even steps. Not every table makes images worse at every step: glass-blur, snow, frost
and elastic stand here as their authors have them. Lengths are in pixels of the images that a table
was written for, and grow with the image (see `Corruption.parameters`).
"""

from __future__ import annotations

from sensverify.corruptions.corruption import Table

HENDRYCKS = (
    "Hendrycks & Dietterich 2019, Benchmarking neural network robustness to common corruptions and "
    "perturbations"
)
LAUGROS = (
    "Laugros, Synthetic, adversarial and natural corruptions: image classifier robustness "
    "transfers from one distribution shift to an other"
)
LAUGROS_CODE = f"{LAUGROS}; severity range of the author's program, since none is printed"
SHIFTS = "Evaluating the robustness of deep learning models: brightness and blur shifts"
BUSLAEV = "Buslaev et al. 2020, Albumentations: fast and flexible image augmentations"

CANDIDATES = f"{LAUGROS}; table 4.2, of Albumentations 0.5.2"

_RADIUS_SIGMA = {"radius": 1, "sigma": 1}
_GLASS = {"sigma": 1, "reach": 1}
_SNOW = {"grain": 1, **_RADIUS_SIGMA}
# A displacement is stretch times noise whose blur with sigma shrinks it by about 1 / sigma.
_ELASTIC = {"stretch": 2, "sigma": 1, "affine": 1}


def _pair(
    small: dict[str, tuple[float, ...]],
    large: dict[str, tuple[float, ...]],
    lengths: dict[str, int] | None = None,
    whole: tuple[str, ...] = (),
) -> tuple[Table, ...]:
    lengths = lengths or {}
    return (
        Table(values=small, side=32, lengths=lengths, whole=whole),
        Table(values=large, side=224, lengths=lengths, whole=whole),
    )


def _even(first: float, last: float) -> tuple[float, ...]:
    """Five evenly spaced values."""
    return tuple(round(first + (last - first) * step / 4, 6) for step in range(5))


def _drawn(*whole: str, **values: float) -> tuple[Table, ...]:
    """One severity, of whose range every image draws; ``whole`` are lengths in pixels of 224."""
    lengths = dict.fromkeys(whole, 1)
    each = {name: (value,) for name, value in values.items()}
    return (Table(values=each, lengths=lengths, whole=whole),)


_RADII = ("least", "most")

TABLES: dict[str, tuple[Table, ...]] = {
    # Hendrycks & Dietterich 2019: make_cifar_c.py and make_imagenet_c.py.
    "gaussian-noise": _pair(
        {"sigma": (0.04, 0.06, 0.08, 0.09, 0.10)},
        {"sigma": (0.08, 0.12, 0.18, 0.26, 0.38)},
    ),
    "shot-noise": _pair(
        {"photons": (500, 250, 100, 75, 50)},
        {"photons": (60, 25, 12, 5, 3)},
    ),
    "impulse-noise": _pair(
        {"share": (0.01, 0.02, 0.03, 0.05, 0.07)},
        {"share": (0.03, 0.06, 0.09, 0.17, 0.27)},
    ),
    "defocus-blur": _pair(
        {"radius": (0.3, 0.4, 0.5, 1, 1.5), "softness": (0.4, 0.5, 0.6, 0.2, 0.1)},
        {"radius": (3, 4, 6, 8, 10), "softness": (0.1, 0.5, 0.5, 0.5, 0.5)},
        {"radius": 1, "softness": 1},
    ),
    "glass-blur": _pair(
        {
            "sigma": (0.05, 0.25, 0.4, 0.25, 0.4),
            "reach": (1, 1, 1, 1, 1),
            "rounds": (1, 1, 1, 2, 2),
        },
        {"sigma": (0.7, 0.9, 1, 1.1, 1.5), "reach": (1, 2, 2, 3, 4), "rounds": (2, 1, 3, 2, 2)},
        _GLASS,
        ("reach",),
    ),
    "motion-blur": _pair(
        {"radius": (6, 6, 6, 8, 9), "sigma": (1, 1.5, 2, 2, 2.5)},
        {"radius": (10, 15, 15, 15, 20), "sigma": (3, 5, 8, 12, 15)},
        _RADIUS_SIGMA,
    ),
    # How many zooms there are follows from the rounding of numpy.arange in the authors' program.
    "zoom-blur": _pair(
        {"step": (0.01, 0.01, 0.01, 0.01, 0.01), "zooms": (7, 12, 16, 21, 26)},
        {"step": (0.01, 0.01, 0.02, 0.02, 0.03), "zooms": (12, 16, 11, 13, 11)},
    ),
    "snow": _pair(
        {
            "mean": (0.1, 0.1, 0.15, 0.25, 0.3),
            "deviation": (0.2, 0.2, 0.3, 0.3, 0.3),
            "grain": (1, 1, 1.75, 2.25, 1.25),
            "threshold": (0.6, 0.5, 0.55, 0.6, 0.65),
            "radius": (8, 10, 10, 12, 14),
            "sigma": (3, 4, 4, 6, 12),
            "clear": (0.95, 0.9, 0.9, 0.85, 0.8),
        },
        {
            "mean": (0.1, 0.2, 0.55, 0.55, 0.55),
            "deviation": (0.3, 0.3, 0.3, 0.3, 0.3),
            "grain": (3, 2, 4, 4.5, 2.5),
            "threshold": (0.5, 0.5, 0.9, 0.85, 0.85),
            "radius": (10, 12, 12, 12, 12),
            "sigma": (4, 4, 8, 8, 12),
            "clear": (0.8, 0.7, 0.7, 0.65, 0.55),
        },
        _SNOW,
    ),
    "frost": _pair(
        {
            "clear": (1, 1, 0.9, 0.85, 0.75),
            "thickness": (0.2, 0.3, 0.4, 0.4, 0.45),
            "zoom": (0.2, 0.2, 0.2, 0.2, 0.2),
        },
        {
            "clear": (1, 0.8, 0.7, 0.65, 0.6),
            "thickness": (0.4, 0.6, 0.7, 0.7, 0.75),
            "zoom": (1, 1, 1, 1, 1),
        },
        # A zoom is no length, but grows as one.
        {"zoom": 1},
    ),
    "fog": _pair(
        {"density": (0.2, 0.5, 0.75, 1, 1.5), "decay": (3, 3, 2.5, 2, 1.75)},
        {"density": (1.5, 2, 2.5, 2.5, 3), "decay": (2, 2, 1.7, 1.5, 1.4)},
    ),
    "brightness": _pair(
        {"value": (0.05, 0.1, 0.15, 0.2, 0.3)},
        {"value": (0.1, 0.2, 0.3, 0.4, 0.5)},
    ),
    "contrast": _pair(
        {"factor": (0.75, 0.5, 0.4, 0.3, 0.15)},
        {"factor": (0.4, 0.3, 0.2, 0.1, 0.05)},
    ),
    # In the authors' programs these are fractions of 32 and, by mistake, of 244 pixels.
    "elastic": _pair(
        {
            "stretch": (0, 1.6, 2.56, 3.2, 3.2),
            "sigma": (0, 6.4, 1.92, 1.28, 0.96),
            "affine": (2.56, 2.24, 1.92, 1.6, 0.96),
        },
        {
            "stretch": (488, 488, 12.2, 17.08, 29.28),
            "sigma": (170.8, 19.52, 2.44, 2.44, 2.44),
            "affine": (24.4, 48.8, 4.88, 4.88, 4.88),
        },
        _ELASTIC,
    ),
    "pixelate": _pair(
        {"resolution": (0.95, 0.9, 0.85, 0.75, 0.65)},
        {"resolution": (0.6, 0.5, 0.4, 0.3, 0.25)},
    ),
    "jpeg": _pair(
        {"quality": (80, 65, 58, 50, 40)},
        {"quality": (25, 18, 15, 10, 7)},
    ),
    # Laugros, figure 3.2; squares and shifts in pixels of 224.
    "white-noise": (Table(values={"sigma": _even(0.05, 0.18)}),),
    "box-blur": (Table(values={"share": _even(0.4, 0.95)}),),
    "artifacts": (
        Table(
            values={
                "lines": _even(15, 170),
                "dash": (5,) * 5,
                "height": (3,) * 5,
                "gap": (3,) * 5,
            },
            lengths={"dash": 1, "height": 1, "gap": 1},
            whole=("dash", "height", "gap"),
        ),
    ),
    "obstruction": (Table(values={"size": _even(47, 125)}, lengths={"size": 1}, whole=("size",)),),
    "translation": (
        Table(values={"distance": _even(15, 62)}, lengths={"distance": 1}, whole=("distance",)),
    ),
    "rotation": (Table(values={"degrees": _even(7, 50)}),),
    "brightness-shift": (Table(values={"value": _even(0.16, 0.51)}),),
    "contrast-loss": (Table(values={"loss": _even(0.33, 0.74)}),),
    "colour-distortion": (Table(values={"value": _even(0.09, 0.40)}),),
    # It has no range; what is turned round stands in for severity.
    "flip": (Table(values={"axis": ("left-right", "upside-down", "both")}),),
    # Laugros, figure 4.3, where most ranges are missing: those of the author's program, but for
    # greyscale.
    "quantise": (Table(values={"steps": (8, 7, 6, 4, 3)}),),
    "thumbnail": (Table(values={"factor": _even(1.1, 3.25)}),),
    "border": (Table(values={"width": _even(9, 46)}, lengths={"width": 1}, whole=("width",)),),
    "shear": (Table(values={"degrees": _even(12, 39)}),),
    "backlight": (Table(values={"value": _even(0.11, 0.44)}),),
    "greyscale": (Table(values={"share": _even(0.49, 1.0)}),),
    "invert": (Table(values={}),),
    "posterise": (Table(values={"bits": (5, 4, 3, 2, 1)}),),
    # Evaluating the robustness of deep learning models: both sets of factors, by their distance
    # from 1, and a kernel of 5 x 5.
    "darken": (Table(values={"factor": (0.9, 0.8, 0.6)}),),
    "brighten": (Table(values={"factor": (1.1, 1.2, 1.4)}),),
    "brightness-factor": (Table(values={"factor": (0.8, 0.9, 1.1, 1.2)}),),
    "gaussian-blur": (Table(values={"sigma": (0.3, 0.5, 0.7, 0.9)}),),
    # Laugros, table 4.2. Kernels are said there by their width, here by what is about their middle;
    # the 47 pixels of a frame are what is cut off of 224 to leave 130.
    "candidate-affine": _drawn(least=0.6, most=0.8),
    "candidate-blur": _drawn(*_RADII, least=2, most=4),
    "candidate-border": _drawn("width", width=47),
    "candidate-channel-dropout": _drawn(),
    "candidate-coarse-dropout": _drawn("size", least=16, most=48, size=8),
    "candidate-cutout": _drawn("size", number=8, size=150),
    "candidate-downscale": _drawn(factor=0.45),
    "candidate-emboss": _drawn(least=0.2, most=0.7),
    "candidate-flip": _drawn(),
    "candidate-gaussian-blur": _drawn(*_RADII, least=4, most=6),
    "candidate-noise": _drawn(least=500, most=1000),
    "candidate-jpeg": _drawn(least=5, most=15),
    "candidate-median-blur": _drawn(*_RADII, least=2, most=5),
    "candidate-multiplicative-noise": _drawn(least=0.7, most=1.3),
    "candidate-posterise": _drawn(bits=2),
    "candidate-brightness": _drawn(most=0.9),
    "candidate-contrast": _drawn(most=1.5),
    "candidate-gamma": _drawn(least=3, most=10),
    "candidate-grid-shuffle": _drawn(parts=4),
    "candidate-rgb-shift": _drawn(most=200 / 255),
    "candidate-rotation": _drawn(most=180),
    "candidate-sharpen": _drawn(share=0.3, most_share=0.6, light=0.6, most_light=1),
    "candidate-solarise": _drawn(threshold=200),
    "candidate-sepia": _drawn(),
    "candidate-shift": _drawn(most=0.7),
    # Those of rain are printed beside shadows: rain is as the library draws it.
    "candidate-colour-jitter": _drawn(most=0.7, turn=0.7),
    "candidate-elastic": (
        Table(
            values={"stretch": (1,), "sigma": (50,), "affine": (50,)},
            lengths={"stretch": 2, "sigma": 1, "affine": 1},
        ),
    ),
    "candidate-grid-distortion": _drawn(steps=5, most=1),
    "candidate-hue-saturation-value": _drawn(hue=100 / 180, saturation=150 / 255, value=100 / 255),
    "candidate-iso-noise": _drawn(least_shift=0.2, most_shift=0.5, least=0.5, most=1),
    "candidate-motion-blur": _drawn(*_RADII, least=5, most=8),
    "candidate-optical-distortion": (
        Table(values={"most": (4,), "shift": (4,)}, lengths={"shift": 1}),
    ),
    "candidate-perspective": _drawn(least=0.1, most=0.3),
    "candidate-fog": _drawn(least=0.8, most=1, density=0.08),
    "candidate-rain": (
        Table(
            values={
                **{"length": (20,), "slant": (10,), "blur": (3,)},
                **{"grey": (200 / 255,), "light": (0.7,)},
            },
            lengths={"length": 1, "slant": 1, "blur": 1},
            whole=("length", "blur"),
        ),
    ),
    "candidate-shadow": _drawn(fewest=2, most=4, corners=8, left=0.5),
    "candidate-snow": _drawn(least=0.1, most=0.3, brightness=2.5),
    "candidate-sun-flare": _drawn("radius", radius=200, fewest=6, most=10),
}
"""Tables of strengths by the name of the corruption."""
