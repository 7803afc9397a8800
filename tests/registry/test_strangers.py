"""Names that another package adds, and objects of the caller's own: used by library and command."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import sensverify as sv
from sensverify.attacks import make_attack, parse_radii, run_attack
from sensverify.bounds import compute_bounds, make_method
from sensverify.bounds.method import make_decider
from sensverify.cli.main import main
from sensverify.core.box import Box
from sensverify.corruptions import corrupt, sequence
from sensverify.data import load_data, load_split
from sensverify.errors import BackendFailure, BadSetting, InputError
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.run import evaluate
from sensverify.models.architectures import build_for
from sensverify.scores import CLEAN, Scores, write_csv
from sensverify.scores import Network as Row
from sensverify.scores.catalog import ANALYSES
from sensverify.studies.files import parse_study
from sensverify.training import Loss, TrainSettings, fit, resolve_loss
from sensverify.verification import PropertyRequest, check_property
from tests.registry import stranger


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``install(points)``: the module beside this one as an installed package."""

    def call(points: dict[str, dict[str, str]], name: str = "stranger") -> None:
        folder = tmp_path / f"site-{name}"
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        shutil.copy(stranger.__file__, folder / f"{name}_package.py")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = []
        for group, names in points.items():
            lines.append(f"[{group}]")
            lines += [f"{key} = {name}_package:{target}" for key, target in names.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(folder)

    return call


def run(*arguments: object) -> str:
    done = CliRunner().invoke(main, [str(each) for each in arguments], prog_name="sensverify")
    assert done.exit_code in (0, 1, 3), done.output
    return done.output


def evaluated(**asked: Any) -> Any:
    parts = ("attacks", "certify", "corruptions", "sequences", "measures")
    nothing = dict.fromkeys(parts, ())
    request = EvaluateRequest(models=("digits",), count=4, **{**nothing, **asked})
    return evaluate(request).models[0]


def iris_box() -> tuple[Any, Box]:
    x = torch.tensor(load_data("iris").x[:2])
    return sv.load("iris"), Box.around(x, torch.full((4,), 0.01))


def images() -> torch.Tensor:
    return torch.linspace(0, 1, 32 * 32).reshape(1, 1, 32, 32)


def trained(tmp_path: Path, **settings: Any) -> Any:
    split, loss = load_split("iris"), settings.pop("loss", "base")
    module = build_for("linear", (4,), 3, seed=0)
    quick = {"epochs": 1, "metric_samples": 0, "final_samples": 2, "pgd_steps": 1}
    return fit(module, split, loss, TrainSettings(**quick, **settings), out=tmp_path / "run")


SCORES = Scores(networks=(Row("net"),), shifts=(CLEAN,), right=[[3]], total=[[4]])
PROPERTY = "\n".join(
    [
        *(f"(declare-const X_{k} Real)" for k in range(4)),
        *(f"(declare-const Y_{k} Real)" for k in range(3)),
        *(f"(assert (>= X_{k} 0))\n(assert (<= X_{k} 1))" for k in range(4)),
        "(assert (>= Y_0 1e6))",
    ]
)
STUDY = """
[study]
title = "One training"
data = "iris"
model = "linear"
seeds = [0]
figures = ["tally(title='How often')"]
[settings]
epochs = 1
metric_samples = 0
final_samples = 2
pgd_steps = 1
[[runs]]
name = "base"
loss = "base"
"""
TRAIN = ("train", "--epochs", 1, "--metric-samples", 0, "--final-samples", 2, "--pgd-steps", 1)
IRIS = ("--data", "iris", "--model", "linear")
NONE = {"--attacks", "--certify", "--corruptions", "--sequences", "--measures"}


def evaluate_command(option: str, value: str, *more: object) -> tuple[object, ...]:
    others = [word for each in sorted(NONE - {option}) for word in (each, "none")]
    return ("evaluate", "digits", "--count", 4, option, value, *others, *more)


@dataclass(frozen=True)
class Use:
    """One kind: the entry-point group, the list that shows it, and how it is used."""

    group: str
    listed: str
    library: Callable[[Path], object]
    command: tuple[object, ...]


USES = [
    Use(
        "methods",
        "methods",
        lambda _: compute_bounds(*iris_box(), make_method("wider(inner=wider(by=1))", by=0.5)),
        ("verify", "iris", "--samples", "0", "--method", "wider(inner=crown(intermediate=ibp))"),
    ),
    Use(
        "deciders",
        "deciders",
        lambda _: make_method("bisection", oracle="shrug") and make_decider("shrug"),
        ("verify", "iris", "--property", "{property}", "--method", "shrug"),
    ),
    Use(
        "attacks",
        "attacks",
        lambda _: make_attack("worst(attacks=corner(after=pgd(steps=2)) + fgsm)"),
        evaluate_command("--attacks", "corner(after=corner(share=0.5))", "--radii", "0.1"),
    ),
    Use(
        "grids",
        "attacks",
        lambda _: parse_radii("two-radii, 0.5"),
        evaluate_command("--attacks", "fgsm", "--radii", "two-radii"),
    ),
    Use(
        "corruptions",
        "corruptions",
        lambda _: corrupt(images(), "fade", 1),
        evaluate_command("--corruptions", "fade"),
    ),
    Use(
        "sequences",
        "corruptions",
        lambda _: sequence(images(), "fading", frames=3),
        evaluate_command("--sequences", "fading"),
    ),
    Use(
        "measures",
        "measures",
        lambda _: evaluated(measures=("largest-weight",)).measures[0].value,
        evaluate_command("--measures", "largest-weight"),
    ),
    Use(
        "losses",
        "losses",
        lambda path: trained(path, loss="cross-entropy + 0.1*spread(power=4)"),
        (*TRAIN, *IRIS, "--loss", "cross-entropy + 0.1*spread"),
    ),
    Use(
        "recipes",
        "losses",
        lambda _: resolve_loss("stranger"),
        (*TRAIN, *IRIS, "--loss", "stranger"),
    ),
    Use(
        "optimisers",
        "optimisers",
        lambda path: trained(path, optimiser="slow(lr=0.01)"),
        (*TRAIN, *IRIS, "--optimiser", "slow"),
    ),
    Use(
        "schedules",
        "optimisers",
        lambda path: trained(path, schedule="falling(to=0.1)"),
        (*TRAIN, *IRIS, "--schedule", "falling"),
    ),
    Use(
        "sharpness",
        "optimisers",
        lambda path: trained(path, sharpness="still"),
        (*TRAIN, *IRIS, "--sharpness", "still"),
    ),
    Use(
        "architectures",
        "architectures",
        lambda _: build_for("narrow(width=2)", (4,), 3, seed=0),
        (*TRAIN, "--data", "iris", "--model", "narrow(width=5)", "--standardise"),
    ),
    Use(
        "data",
        "data",
        lambda _: load_split("corners"),
        (*TRAIN, "--data", "corners", "--model", "linear"),
    ),
    Use(
        "analyses",
        "analyses",
        lambda _: parse_study(tomllib.loads(STUDY)),
        ("study", "run", "{study}"),
    ),
    Use(
        "scores",
        "analyses",
        lambda _: ANALYSES.make("holes", SCORES, title="Gaps"),
        ("study", "analyse", "{scores}", "--kind", "holes(title=Gaps)"),
    ),
]


def test_every_kind_is_here() -> None:
    assert {f"sensverify.{use.group}" for use in USES} == set(stranger.ENTRY_POINTS)


@pytest.mark.parametrize("use", USES, ids=lambda use: use.group)
def test_a_name_of_another_package(use: Use, install: Any, tmp_path: Path) -> None:
    (name,) = stranger.ENTRY_POINTS[f"sensverify.{use.group}"]
    assert f"\n{name} " not in run("list", use.listed)
    with pytest.raises(InputError, match=name):
        use.library(tmp_path)
    install(stranger.ENTRY_POINTS)
    assert f"\n{name} " in run("list", use.listed)
    assert use.library(tmp_path) is not None
    files = {"property": tmp_path / "asked.vnnlib", "study": tmp_path / "study.toml"}
    files["property"].write_text(PROPERTY)
    files["study"].write_text(STUDY)
    files["scores"] = tmp_path / "scores.csv"
    write_csv(SCORES, files["scores"])
    words = [str(word).format(**files) for word in use.command]
    out = tmp_path / "out"
    run(*words, *(("--out", out) if words[0] == "train" or "run" in words else ()))
    if use.group == "scores":
        page, found = tmp_path / "page.html", tmp_path / "found"
        for force in ((), ("--force",)):
            run(*words, "--report", page, "--csv", found, *force)
        assert "Gaps" in page.read_text()
        assert (found / "holes.csv").read_text() == "holes\n0\n"
        # A file of that name that was not written here, and one that is read, are kept.
        (found / "holes.csv").write_text("mine")
        kept = CliRunner().invoke(main, [*words, "--csv", str(found), "--force"])
        assert (kept.exit_code, (found / "holes.csv").read_text()) == (2, "mine")
        write_csv(SCORES, found / "holes.csv")
        before = (found / "holes.csv").read_text()
        words[2] = str(found / "holes.csv")
        kept = CliRunner().invoke(main, [*words, "--csv", str(found), "--force"])
        assert (kept.exit_code, (found / "holes.csv").read_text()) == (2, before)
    if use.group == "analyses":
        run("study", "report", out)
        assert "How often" in (out / "report" / "report.html").read_text()
        assert (out / "report" / "tally.csv").read_text() == "loss,trainings\nbase,1\n"


@pytest.mark.parametrize("group", stranger.ENTRY_POINTS)
def test_what_does_not_work_is_named_and_breaks_nothing_else(
    group: str, install: Any, tmp_path: Path
) -> None:
    (name,) = stranger.ENTRY_POINTS[group]
    use = next(use for use in USES if f"sensverify.{use.group}" == group)
    install({group: {name: "is_not_there"}}, "broken")
    with pytest.raises(BackendFailure, match=f"'{name}' of the package 'broken' cannot be loaded"):
        use.library(tmp_path)
    lines = " ".join(run("list", use.listed).split())
    assert f"{name} " in lines
    assert "mend or uninstall 'broken'" in lines
    # The others of its kind go on, groups and all.
    names = ("crown", "branch-and-bound", "pgd", "mnist", "fog", "tilt", "l2", "mixup", "base")
    others = (*names, "adam", "cosine", "sam", "iris", "course")
    assert any(f" {other} " in lines for other in others)


def test_two_packages_with_one_name(install: Any) -> None:
    install({"sensverify.attacks": {"corner": "Corner"}}, "one")
    install({"sensverify.attacks": {"corner": "Corner"}}, "other")
    with pytest.raises(ValueError, match="several packages announce the attack 'corner'"):
        make_attack("corner")


def test_a_name_of_ours_stays_ours(install: Any) -> None:
    install({"sensverify.attacks": {"pgd": "Corner"}}, "usurper")
    assert type(make_attack("pgd")).__module__.startswith("sensverify.")
    assert "'usurper_package:Corner' has the name of one of ours" in " ".join(
        run("list", "attacks").split()
    )


def test_objects_of_the_callers_own(tmp_path: Path) -> None:
    assert torch.equal(corrupt(images(), stranger.fade, 1), images() * 0.5)
    assert torch.equal(corrupt(images(), stranger.fade, {"factor": 0.25}), images() * 0.25)
    assert sequence(images(), stranger.fading, frames=3).shape == (1, 3, 1, 32, 32)
    network, box = iris_box()
    method = stranger.Wider(stranger.Wider(by=1.0), by=0.5)
    wide, exact = (compute_bounds(network, box, each).outer for each in (method, stranger.Wider()))
    assert bool((wide.upper > exact.upper + 1.4).all())
    x = torch.tensor(load_data(stranger.corners()).x)
    corner = stranger.Corner()
    found = run_attack(
        torch.nn.Linear(2, 4), x, torch.zeros(40, dtype=torch.int64), Box(x, x + 1), corner
    )
    assert found.points.shape == x.shape
    split = load_split(stranger.corners)
    assert (len(split.train), len(split.test), split.classes) == (32, 8, 4)
    assert load_split(split) is split


def test_an_evaluation_of_the_callers_own_objects() -> None:
    found = evaluated(
        attacks=(stranger.Corner(share=0.5),),
        certify=(stranger.Wider(by=0.25),),
        corruptions=(stranger.fade, "thesis"),
        measures=(stranger.largest_weight, "l2"),
        severities=(1,),
        radii=(0.01,),
    )
    assert [row.attack for row in found.attacks] == ["corner(share=0.5)"]
    assert [row.method for row in found.certified] == ["wider(by=0.25)"]
    assert found.corruptions[0].corruption == "fade"
    assert {row.measure for row in found.measures} == {"l2", "largest-weight"}


def test_questions_about_the_callers_own_objects(tmp_path: Path) -> None:
    iris = load_data("iris")
    method = stranger.Wider(by=0.25)
    report = sv.verify("iris", data=iris, samples=(0, 2), sigma=0.01, method=method)
    assert (report.method, report.settings["by"]) == ("wider", 0.25)
    plain = sv.verify("iris", data="iris", part="all", samples=(0, 2), sigma=0.01, method="ibp")
    assert report.samples[0].widths == pytest.approx(plain.samples[0].widths + 0.5)
    with pytest.raises(BadSetting, match="has its settings"):
        sv.verify("iris", method=method, settings={"by": 1})
    with pytest.raises(BadSetting, match="a method such as crown"):
        sv.verify("iris", method=stranger.Shrug())
    path = tmp_path / "asked.vnnlib"
    path.write_text(PROPERTY)
    answer = check_property(PropertyRequest("iris", path, method=stranger.Shrug()))
    assert (answer.method, answer.verdict.value) == ("shrug", "unknown")
    split = load_split(stranger.corners())
    asked = EvaluateRequest(
        models=("iris",), data=iris, count=4, attacks=(), certify=(), measures=(), corruptions=()
    )
    assert evaluate(asked).samples == 4
    assert split.classes == 4


def test_a_training_with_the_callers_own_term(tmp_path: Path) -> None:
    loss = Loss.of((1, "cross-entropy(smoothing=0.1)"), (0.5, stranger.spread))
    assert str(loss) == "cross-entropy(smoothing=0.1) + 0.5*spread"
    assert loss.names == ("cross-entropy", "spread")
    assert trained(tmp_path, loss=loss) is not None
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "spread" in json.dumps(config)
