"""Facts about the named data sets: names of their classes, authors and licence."""

from __future__ import annotations

from dataclasses import dataclass

UCI = "Creative Commons Attribution 4.0 International, UCI Machine Learning Repository"
_DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class DataFacts:
    """Names of the classes, in order, and the authors and the licence of the data."""

    labels: tuple[str, ...]
    licence: str


FACTS: dict[str, DataFacts] = {
    "breast-cancer": DataFacts(
        ("malignant", "benign"),
        "Breast Cancer Wisconsin (Diagnostic), William Wolberg, Olvi Mangasarian, Nick Street and "
        f"W. Street; {UCI}",
    ),
    "cifar-10": DataFacts(
        (
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        "CIFAR-10, Alex Krizhevsky, Vinod Nair and Geoffrey Hinton; no licence is stated",
    ),
    "digits": DataFacts(
        _DIGITS,
        f"Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak; {UCI}",
    ),
    "fashion-mnist": DataFacts(
        (
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        "Fashion-MNIST, Zalando SE; MIT",
    ),
    "iris": DataFacts(("setosa", "versicolor", "virginica"), f"Iris, R. A. Fisher; {UCI}"),
    "mnist": DataFacts(
        _DIGITS,
        "MNIST, Yann LeCun, Corinna Cortes and Christopher J. C. Burges; "
        "Creative Commons Attribution-Share Alike 3.0",
    ),
    "wine": DataFacts(
        ("class 0", "class 1", "class 2"), f"Wine, Stefan Aeberhard and M. Forina; {UCI}"
    ),
}
