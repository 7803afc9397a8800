"""Scores from files and folders: each is read by what it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sensverify.errors import BadData
from sensverify.runs.shards import journals
from sensverify.scores.csv_file import read_csv
from sensverify.scores.evaluation_file import read_evaluation
from sensverify.scores.join import join
from sensverify.scores.part import Part
from sensverify.scores.published import is_published, read_published
from sensverify.scores.study_folder import JOURNAL, read_study_folder
from sensverify.scores.table import Scores

EVALUATION = "evaluation.json"
"""The result in the folder of an evaluation."""

_REMEDY = (
    f"give results of `evaluate` as JSON, folders with an '{EVALUATION}', folders of studies, CSV "
    "files, or files such as 'fgsm@Linf_accuracy.json'"
)


def read_scores(paths: Iterable[Path | str]) -> Scores:
    """One table of several files and folders.

    Parameters
    ----------
    paths : iterable of path
        Results of evaluations (``evaluation.json``), their folders, folders of studies, CSV files
        (`read_csv`), and files of the published data set (`read_published`), in any mixture.

    Raises
    ------
    BadData
        There are none, one cannot be read, or they do not belong together (`join`).
    """
    given = [Path(path) for path in paths]
    if not given:
        raise BadData("there are no files of scores", _REMEDY)
    return join([part for path in given for part in read_parts(path)])


def read_parts(path: Path) -> list[Part]:
    """As `read_part`; a study's folder also has the evaluations that stand beside its runs."""
    part = read_part(path)
    if part.source.form != "study":
        return [part]
    return [part, *map(read_evaluation, sorted(path.glob(f"runs/*/{EVALUATION}")))]


def read_part(path: Path) -> Part:
    """The rows of one file or folder; errors as of `read_scores`."""
    if path.is_dir():
        if (path / EVALUATION).exists():
            return read_evaluation(path / EVALUATION)
        if (path / "study.json").exists() and journals(path, JOURNAL):
            return read_study_folder(path)
        raise BadData(f"the folder '{path}' holds no scores", _REMEDY)
    if not path.exists():
        raise BadData(f"there is no file '{path}'", _REMEDY)
    if path.suffix.lower() in (".csv", ".tsv"):
        return read_csv(path)
    if is_published(path):
        return read_published(path)
    return read_evaluation(path)
