"""The command lines whose answers are frozen, in groups; each group has a reference of its own."""

from __future__ import annotations

from tests.contracts.frozen_compare import FLOAT64
from tests.contracts.frozen_inputs import (
    write_arrays,
    write_bad_input,
    write_instances,
    write_properties,
    write_study,
)
from tests.contracts.frozen_networks import ON_FOUR, ON_IMAGES, networks
from tests.contracts.frozen_run import Scenario


def _verify(name: str, options: str, tolerance: float = FLOAT64) -> Scenario:
    """One command with its JSON; in float64 unless a tolerance is given."""
    dtype = " --dtype float64" if tolerance == FLOAT64 else ""
    command = f"verify {options}{dtype} --json -"
    return Scenario(name, (command,), tolerance, prepare=write_arrays)


GAP = 2e-6
"""Solvers stop at a relative gap of 1e-6: another release of HiGHS stops elsewhere within it."""
SINGLE = 1e-5
"""float32."""
ASCENT = 1e-4
"""float32, and steps on the sign or the size of gradients on top."""

_METHODS = {
    "crown": "--method crown",
    "crown-ibp": "--method crown --setting intermediate=ibp",
    "lp-dual": "--method lp-dual",
    "lp-dual-ibp": "--method lp-dual --setting intermediate=ibp",
    "alpha-crown": "--method alpha-crown --setting steps=4",
    "alpha-crown-rate": "--method alpha-crown --setting steps=3 --setting learning_rate=0.1"
    " --setting intermediate=ibp",
    "ibp": "--method ibp",
}
_SAMPLES = {"iris": "9:12", "digits": "3:5", "mnist-conv1": "0:1", "mnist-conv2": "1:2"}
_IRIS_ONE = "verify iris --samples 11"

VERIFY = (
    *(
        _verify(f"{model} {name}", f"{model} --samples {samples} {method}")
        for model, samples in _SAMPLES.items()
        for name, method in _METHODS.items()
    ),
    *(
        _verify(f"{model} float32 {name}", f"{model} --samples {samples} {_METHODS[name]}", SINGLE)
        for model, samples in _SAMPLES.items()
        for name in ("crown", "lp-dual", "alpha-crown", "ibp")
    ),
    _verify("iris as it comes", "iris", SINGLE),
    _verify("digits as it comes", "digits --samples 0:20", SINGLE),
    _verify("radius", "iris --samples 0:4 --radius 0.15"),
    _verify("radius zero", "digits --samples 0:2 --radius 0"),
    _verify("radius of features", "iris --samples 0:4 --radius radius.npy"),
    _verify("sigma", "digits --samples 0:3 --sigma 0.02"),
    _verify("sigma, labels fall", "iris --samples 0:10 --sigma 0.4 --seed 3"),
    _verify("clip", "iris --samples 0:3 --sigma 0.3 --clip 0 6"),
    _verify("clip off", "mnist-conv2 --samples 2 --radius 0.01 --clip -inf inf"),
    _verify("box", "iris --box box.npz"),
    _verify("data of one's own", "iris --data mine.npz --sigma 0.05"),
    _verify("data without labels", "iris --data bare.npz --radius 0.1"),
    _verify("data by name", "iris --data iris --part all --samples 10:13"),
    _verify("little memory", "mnist-conv2 --samples 0:2 --radius 0.02 --memory 8MB"),
    _verify("no runtime check", "iris --samples 1 --no-runtime-check"),
    _verify("width exceeded", "iris --samples 0:3 --max-width 1.5"),
    _verify("width held", "iris --samples 0:3 --max-width 15"),
    _verify("log-volume exceeded", "iris --samples 0:3 --max-log-volume 0.7"),
)
EXACT = (
    *(
        Scenario(f"iris {name}", (f"{_IRIS_ONE} --method {name} --threads 1 --json -",), GAP)
        for name in ("lp", "milp", "exact", "branch-and-bound")
    ),
    Scenario(
        "iris bisection",
        (f"{_IRIS_ONE} --sigma 0.02 --method bisection --gap 1e-3 --json -",),
        2e-3,
        slow=True,
    ),
    *(
        Scenario(
            f"iris {name}, wide",
            (f"{_IRIS_ONE} --sigma 0.1 --gap 1e-3 --method {name} --seed 2 --json -",),
            2e-3,
        )
        for name in ("milp", "exact", "branch-and-bound")
    ),
    Scenario(
        "iris bisection by milp",
        (
            f"{_IRIS_ONE} --sigma 0.02 --method bisection --setting oracle=highs --gap 1e-2"
            " --json -",
        ),
        2e-2,
    ),
    Scenario("digits lp", ("verify digits --samples 2 --method lp --json -",), GAP),
    Scenario(
        "digits branch-and-bound",
        (
            "verify digits --samples 2 --sigma 0.02 --method branch-and-bound --gap 1e-3"
            " --setting batch=64 --json -",
        ),
        2e-3,
    ),
    Scenario(
        "lp by intervals", (f"{_IRIS_ONE} --method lp --setting intermediate=ibp --json -",), GAP
    ),
)


def _ask(options: str) -> str:
    return f"verify iris --property {options}"


OPERATORS = (
    *(
        Scenario(
            name,
            tuple(
                f"verify '{name}.onnx' --box {box} --method {method} --dtype float64 --json -"
                for method in ("ibp", "crown", "lp-dual", "alpha-crown --setting steps=3")
            ),
            FLOAT64,
            prepare=networks,
        )
        for names, box in ((ON_FOUR, "four.npz"), (ON_IMAGES, "images.npz"))
        for name in names
    ),
    *(
        Scenario(
            f"{name} by {method}",
            (f"verify '{name}.onnx' --box four.npz --method {method} --threads 1 --json -",),
            GAP,
            prepare=networks,
            slow=(name, method) == ("residual", "branch-and-bound"),
        )
        for name, methods in (
            ("relu", ("lp", "milp", "exact")),
            ("sigmoid", ("lp", "milp")),
            ("clip", ("lp", "milp")),
            ("tanh", ("branch-and-bound",)),
            ("residual", ("lp", "milp", "branch-and-bound")),
            ("largest of two", ("lp", "milp", "branch-and-bound")),
        )
        for method in methods
    ),
    *(
        Scenario(
            f"{name}, certified",
            (
                f"verify '{name}.onnx' --box {box} --certificate net.cert --json -",
                f"check net.cert '{name}.onnx' --json -",
            ),
            SINGLE,
            prepare=networks,
            keep=("*.cert",),
        )
        for names, box in ((("residual", "tanh"), "four.npz"), (("max-pooling",), "images.npz"))
        for name in names
    ),
    Scenario("unsupported", ("verify unsupported.onnx --box four.npz",), prepare=networks),
)

PROPERTY = (
    *(
        Scenario(
            f"{name} by {method}",
            (_ask(f"{name}.vnnlib --method {method} --timeout 60 --json -"),),
            ASCENT,
            prepare=write_properties,
        )
        for name in ("unsat", "sat", "hard")
        for method in ("branch-and-bound", "milp")
    ),
    Scenario(
        "no time",
        (_ask("hard.vnnlib --method milp --timeout 1e-9 --json -"),),
        ASCENT,
        prepare=write_properties,
    ),
    Scenario("either", (_ask("either.vnnlib --json -"),), ASCENT, prepare=write_properties),
    Scenario("loose, in words", (_ask("loose.vnnlib"),), ASCENT, prepare=write_properties),
    Scenario(
        "witness",
        (_ask("sat.vnnlib --witness witness.txt --json answer.json"),),
        ASCENT,
        prepare=write_properties,
        keep=("answer.json", "witness.txt"),
    ),
    Scenario(
        "certified",
        (
            _ask("unsat.vnnlib --certificate unsat.cert --json -"),
            "check unsat.cert iris --property unsat.vnnlib --json -",
            "check unsat.cert iris --property either.vnnlib --json -",
            "check unsat.cert iris",
        ),
        ASCENT,
        prepare=write_properties,
        keep=("*.cert",),
    ),
)

CERTIFICATE = (
    Scenario(
        "iris crown",
        (
            "verify iris --samples 9:11 --certificate iris.cert --json -",
            "check iris.cert iris --json -",
            "check iris.cert iris --arithmetic exact --json -",
            "check iris.cert iris --json result.json",
            "check iris.cert digits --json -",
        ),
        SINGLE,
        keep=("*.cert", "result.json"),
    ),
    *(
        Scenario(
            f"iris {name}",
            (
                f"{_IRIS_ONE} --method {name} --certificate iris.cert --json -",
                "check iris.cert iris --json -",
            ),
            SINGLE,
            keep=("*.cert",),
        )
        for name in ("ibp", "lp-dual", "lp")
    ),
    Scenario(
        "iris alpha-crown",
        (
            f"{_IRIS_ONE} --method alpha-crown --setting steps=3 --certificate iris.cert --json -",
            "check iris.cert iris --json -",
        ),
        ASCENT,
        keep=("*.cert",),
    ),
    Scenario(
        "iris branch-and-bound",
        (
            f"{_IRIS_ONE} --method branch-and-bound --gap 1e-2 --certificate iris.cert --json -",
            "check iris.cert iris",
        ),
        2e-2,
    ),
    Scenario("rigorous", ("verify mnist-conv2 --samples 0 --rigorous --json -",), SINGLE),
)

_SMALL = "--epochs 2 --metric-samples 20 --final-samples 30 --pgd-steps 2"
_RUN = ("run/*.json", "run/*.csv", "run/*.onnx", "run/*.npz", "run/checkpoints/*")

_SLOW_RECIPES = {"label-smoothing", "mixup", "overlap", "sm-softplus"}
"""Close to others: to those of the study, and to sm."""

TRAIN = (
    Scenario(
        "base",
        (
            f"train --data iris --model mlp-8-6 --sigma 0.05 {_SMALL} --out run --json -",
            "train --out run --resume --json -",
            "verify run --samples 0:2 --json trained.json",
        ),
        ASCENT,
        keep=(*_RUN, "trained.json"),
        named=("run/**/*",),
    ),
    Scenario(
        "sensitivity",
        (
            "train --data iris --model iris --radius 0.1 --clip 0 8 --standardise --hold-out 20"
            " --loss 'cross-entropy + 1e-5*l2 + 0.02*sensitivity(form=softplus)' --ramp 0.5"
            f" --optimiser 'sgd(lr=0.01, momentum=0.9)' --schedule cosine {_SMALL} --out run"
            " --json -",
        ),
        ASCENT,
        keep=_RUN,
        named=("run/**/*",),
    ),
    *(
        Scenario(
            f"recipe {loss}",
            (
                f"train --data iris --model mlp-6 --sigma 0.05 --loss {loss} --seed 1 --threads 1"
                " --epochs 5 --batch-size 60 --metric-samples 0 --final-samples 10 --pgd-steps 1"
                " --out run --json -",
            ),
            ASCENT,
            # Which neurons are dropped is drawn otherwise by another release.
            elsewhere=0.1 if loss == "jacob-m" else None,
            keep=("run/config.json", "run/steps.csv"),
            slow=loss in _SLOW_RECIPES,
        )
        for loss in (
            "'cross-entropy + 0.1*jacobian'",
            "crown-ibp",
            "fgsm",
            "ibp",
            "jacob-m",
            "'k&w'",
            "label-smoothing",
            "mixup",
            "overlap",
            "pgd",
            "sm",
            "sm-softplus",
            "spec-m",
            "trades",
        )
    ),
    Scenario(
        "convolutions",
        (
            "train --data digits --model conv-4 --loss 'k&w' --radius 0.02 --clip 0 1 --epochs 1"
            " --sharpness 'sam(rho=0.05)' --gradient-clip 1 --train-samples 64 --metric-samples 0"
            " --final-samples 20 --pgd-steps 1 --out run --json -",
        ),
        ASCENT,
        keep=("run/config.json", "run/steps.csv", "run/model.onnx"),
    ),
)

_AFTER = "evaluate run --data iris --count 10 --train-samples 30 --radii 0.05,0.2"
EVALUATE = (
    Scenario(
        "iris",
        (
            "evaluate iris --data iris --count 10 --train-samples 40 --corruptions none --out ev"
            " --radii 0.05,0.4 --json -",
            "evaluate iris --data iris --count 10 --train-samples 40 --corruptions none --out ev"
            " --radii 0.05,0.4 --resume",
        ),
        ASCENT,
        keep=("ev/asked.json", "ev/journal.jsonl", "ev/report.html"),
        named=("ev/**/*",),
    ),
    Scenario(
        "digits, attacks",
        (
            "evaluate digits --count 6 --attacks 'fgsm, ll-fgsm, pgd(steps=3), mi-fgsm(steps=3),"
            " apgd-ce(steps=5), apgd-dlr(steps=5), square(queries=20)' --radii 0.02,0.1"
            " --certify 'crown, ibp, lp-dual' --corruptions none --measures none --json -"
            " --csv tables",
        ),
        ASCENT,
        keep=("tables/*",),
        named=("tables/*",),
    ),
    Scenario(
        "digits, corruptions",
        (
            "evaluate digits --count 4 --attacks none --certify none"
            " --corruptions imagenet-c,thesis,additions,shifts"
            " --severities 1,4 --measures none --json -",
        ),
        ASCENT,
    ),
    Scenario(
        "two convolutional networks",
        (
            "evaluate mnist-conv1 mnist-conv2 --reference mnist-conv1 --count 3 --attacks fgsm"
            " --radii 0.05 --corruptions 'gaussian-noise, contrast' --severities 3"
            " --sequences none --measures 'parameters, l2, spectral, input-gradient,"
            " log-volume-crown' --report page.html --json result.json",
        ),
        ASCENT,
        keep=("page.html", "result.json"),
    ),
    Scenario(
        "a training run",
        (
            f"train --data iris --model mlp-8-6 --sigma 0.05 --optimiser 'adam(lr=0.05)' {_SMALL}"
            " --out run --json first.json",
            f"{_AFTER} --attacks 'cw(steps=5), ll-pgd(steps=3), worst' --surrogate iris"
            " --certify 'crown(intermediate=ibp), alpha-crown(steps=2)' --corruptions none"
            " --measures all --json -",
        ),
        ASCENT,
        # Thousands of queries by the square attack.
        slow=True,
    ),
)

STUDIES = (
    Scenario(
        "tiny",
        (
            "study run tiny.toml --out study",
            "study run tiny.toml --out study --resume",
            "study report study",
        ),
        ASCENT,
        prepare=write_study,
        keep=(
            "study/study.json",
            "study/journal.jsonl",
            "study/runs/*/result.json",
            "study/runs/*/metrics.csv",
            "study/report/*.csv",
            "study/report/*.md",
            "study/report/*.html",
        ),
        named=("study/**/*",),
        slow=True,
    ),
    Scenario(
        "variant",
        ("study run tiny.toml --variant one --out study",),
        ASCENT,
        prepare=write_study,
        keep=("study/study.json", "study/journal.jsonl"),
    ),
)

BENCHMARK = (
    Scenario(
        "two instances",
        (
            "benchmark bench --out out.csv --jobs 1",
            "benchmark bench --out out.csv --jobs 1",
        ),
        ASCENT,
        prepare=write_instances,
        keep=("out.csv",),
        named=("*",),
    ),
)

PROGRAM = (
    Scenario(
        "export-milp",
        (
            "export-milp iris --samples 22 --sigma 0.1 --maximise 2 --out net.lp",
            "export-milp iris --samples 22 --sigma 0.1 --relaxed --out relaxed.mps",
        ),
        keep=("*.lp", "*.mps", "*.json", "*.npz"),
        named=("*",),
    ),
)

_KINDS = ("methods", "models", "data", "losses", "architectures", "attacks", "corruptions")

WORDS = (
    *(Scenario(f"list {kind}", (f"list {kind}",)) for kind in (*_KINDS, "measures")),
    Scenario(
        "report",
        ("verify iris --samples 9:12 --method branch-and-bound --gap 1e-3 --report page.html",),
        SINGLE,
        keep=("page.html",),
    ),
    Scenario(
        "bad input",
        (
            "verify nothing",
            "verify iris --threads 1",
            "verify iris --samples 0:3 --clip 0.3 5",
            "verify iris --method crwon",
            "verify iris --setting steps=3",
            "verify iris --method alpha-crown --setting steps=many",
            "verify iris --radius 0.1 --sigma 0.1",
            "verify iris --radius -1",
            "verify iris --samples 5:900",
            "verify iris --data bare.npz",
            "verify iris --data bare.npz --sigma 0.1",
            "verify iris --data nowhere.npz --radius 0.1",
            "verify iris --clip 1 0",
            "verify iris --box box.npz --radius 1",
            "verify iris --json taken.json",
            "verify iris --max-width nan",
            "verify digits --box box.npz",
            "verify mnist-conv2 --method lirpa --setting mode=none",
            "verify iris --property nowhere.vnnlib",
            "verify iris --property unsat.vnnlib --method crown",
            "verify iris --property unsat.vnnlib --radius 1",
            "verify digits --property unsat.vnnlib",
            "check text.cert iris",
            "train --out run",
            "train --data iris --model mlp-x --out run",
            "train --data iris --model iris --loss nonsense --out run",
            "train --data iris --model iris --loss '0.1*sensitivity' --out run",
            "train --data iris --model iris --optimiser 'adam(rate=1)' --out run",
            "evaluate iris --attacks nonsense",
            "evaluate iris --measures nonsense",
            "evaluate iris digits",
            "study run wrong.toml --out study",
            "benchmark nowhere --out out.csv",
            "list nonsense",
            "nonsense",
        ),
        prepare=write_bad_input,
        named=("*",),
    ),
)

GROUPS: dict[str, tuple[Scenario, ...]] = {
    "verify": VERIFY,
    "exact": EXACT,
    "operators": OPERATORS,
    "property": PROPERTY,
    "certificate": CERTIFICATE,
    "train": TRAIN,
    "evaluate": EVALUATE,
    "study": STUDIES,
    "benchmark": BENCHMARK,
    "program": PROGRAM,
    "words": WORDS,
}
