"""Files of text: one line a sample, one column a feature."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensverify.data import load_data, load_split, read_dataset
from sensverify.data.delimited import dataset_of_csv
from sensverify.data.reading import Reading
from sensverify.errors import BadData, BadSetting


def written(folder: Path, text: str | bytes, name: str = "d.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_names_of_classes_are_sorted_and_said(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b,Class\n1,2,setosa\n3,4,rose\n\n5,6,setosa\n")
    data = load_data(path)
    assert data.x.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert data.y is not None
    assert (data.y.tolist(), data.classes) == ([1, 0, 1], ("rose", "setosa"))
    said = "; ".join(data.remarks)
    assert "first line names the columns" in said
    assert "'Class'" in said
    assert "rose = 0, setosa = 1" in said


@pytest.mark.parametrize(
    ("text", "settings", "x", "y"),
    [
        ("1,2\n3,4\n", "", [[1, 2], [3, 4]], None),
        ("1,2\n3,4\n", "(label=last)", [[1], [3]], [2, 4]),
        ("f,y\n1,2\n3,4\n", "", [[1], [3]], [2, 4]),
        ("f,y\n1,0.5\n3,4\n", "", [[1], [3]], [0.5, 4]),
        ("y,f\n1,2\n3,4\n", "(label=f)", [[1], [3]], [2, 4]),
        ("1,2\n3,4\n", "(header=yes)", [[3, 4]], None),
        ("1,2\n3,4\n", "(header=no, label=last)", [[1], [3]], [2, 4]),
        ("0,1,label\n1,2,0\n", "", [[1, 2]], [0]),
        (",a,target\n0,5,1\n1,6,0\n", "", [[5], [6]], [1, 0]),
        ("Unnamed: 0,a,y\n0,5,1\n1,6,0\n", "", [[5], [6]], [1, 0]),
        ("Unnamed: 0,a\n0,5\n1,6\n", "(label=Unnamed: 0)", [[5], [6]], [0, 1]),
        ('\ufeff"a";"y"\r\n1;0\r\n', "", [[1]], [0]),
        ("a\ty\n1\t0\n", "", [[1]], [0]),
        ("1, 2\n 3,4e1", "", [[1, 2], [3, 40]], None),
        ('a,y\n1,"u, v"\n2,w', "", [[1], [2]], [0, 1]),
    ],
)
def test_headers_labels_and_delimiters(
    tmp_path: Path, text: str, settings: str, x: list[list[float]], y: list[float] | None
) -> None:
    data = load_data(written(tmp_path, text) + settings)
    assert data.x.tolist() == x
    assert (None if data.y is None else data.y.tolist()) == y


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,y\n", "header and no samples|no number"),
        ("a,y\n1,0\n2\n", "line 3: 1 cells, and the first line has 2"),
        ("a,y\n1,0\n2,1,3\n", "line 3: 3 cells"),
        ("a,y\n1,0\n,1\n", "line 3: the cell of column 'a' is empty"),
        ("a,y\n1,0\nnan,1\n", "line 3: .*'nan', and samples are finite"),
        ("a,y\n1,0\n1e999,1\n", "line 3: .*finite"),
        ("a,y\n1,0\n1_0,1\n", "line 3: .*'1_0' and no number"),
        ("a,y\n1,0\nu,1\n", "line 3: .*'u' and no number"),
        ("a,b,y\n1,u,0\n", "line 2: .*column 'b' is 'u' and no number"),
        ("1,u\n2,v\n", r"line 1: .*column 2 is 'u'.*label=last"),
        ("a,y\n1,u\n2,3\n", "line 2: the label is 'u', and others are numbers"),
        ("a,y\n1,0\n2,nan\n", "line 3: the label is 'nan'"),
        ("a,y\n1,\n", "line 2: the label is empty"),
        ("label,y\n1,0\n", "could both hold the labels"),
        ("a,a,y\n1,2,0\n", "two columns are called 'a'"),
        ("y\n1\n", "no columns of features"),
        ('a,y\n1,"0\n', "line"),
        (b"a,y\n\xff\xfe,0\n", "no text in UTF-8"),
        (b"a,y\n1\x00,0\n", "line"),
        ("1,5;2\n3,5;4\n", r"'1,5' and no number"),
    ],
)
def test_broken_files_are_refused_with_the_line(
    tmp_path: Path, text: str | bytes, words: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadData, match=words) as caught:
        load_data(path)
    assert path in str(caught.value)
    assert caught.value.remedy


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = written(tmp_path, "a,species\n1,u\n2,v\n")
    with pytest.raises(BadData, match=r"no column 'specis' \(did you mean 'species'"):
        load_data(f"{path}(label=specis)")
    assert load_data(path, label="species").classes == ("u", "v")
    with pytest.raises(BadData, match="there is no file"):
        load_data(str(tmp_path / "other.csv"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("(labl=a)", r"no setting 'labl' \(did you mean 'label'"),
        ("(label=a, label=b)", "gives label twice"),
        ("(label=)", "label needs a name"),
        ("(label)", "label needs a name"),
        ("(header=maybe)", "header is yes or no"),
        ("(nhwc)", "`nhwc` says nothing about"),
        ("(x=a)", "`x` says nothing about"),
    ],
)
def test_settings_that_are_none(tmp_path: Path, settings: str, words: str) -> None:
    path = written(tmp_path, "a,y\n1,0\n")
    with pytest.raises(BadSetting, match=words):
        load_data(path + settings)


def test_a_file_is_not_read_beyond_the_limit(tmp_path: Path) -> None:
    path = Path(written(tmp_path, "1,2\n" * 100))
    assert len(dataset_of_csv(path, Reading(), 1600)) == 100
    with pytest.raises(BadData, match="above the limit of 399"):
        dataset_of_csv(path, Reading(), 1599)


def test_every_fifth_sample_is_a_test_sample(tmp_path: Path) -> None:
    lines = "".join(f"{k},{'odd' if k % 2 else 'even'}\n" for k in range(20))
    split = load_split(written(tmp_path, f"k,class\n{lines}"))
    assert split.test.x[:, 0].tolist() == [4, 9, 14, 19]
    assert (split.classes, split.labels) == (2, ("even", "odd"))
    assert "even = 0, odd = 1" in split.rule


NAMES = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=5)


@given(data=st.data(), rows=st.integers(1, 6), columns=st.integers(1, 4))
def test_what_is_written_is_read(data: st.DataObject, rows: int, columns: int) -> None:
    finite = st.floats(allow_nan=False, allow_infinity=False)
    cells = st.lists(finite, min_size=columns, max_size=columns)
    x = data.draw(st.lists(cells, min_size=rows, max_size=rows))
    words = NAMES.filter(lambda word: word not in ("nan", "inf", "infinity"))
    labels = data.draw(
        st.one_of(
            st.lists(st.integers(0, 2**31), min_size=rows, max_size=rows),
            st.lists(words, min_size=rows, max_size=rows),
        )
    )
    head = ",".join([*(f"f{k}" for k in range(columns)), "label"])
    lines = [
        ",".join([*map(repr, each), str(label)]) for each, label in zip(x, labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = read_dataset(written(Path(folder), "\n".join([head, *lines])))
    np.testing.assert_array_equal(found.x, np.array(x))
    assert found.y is not None
    names = found.classes
    assert [names[k] if names else k for k in found.y.tolist()] == labels
    assert list(names) == sorted(set(names))
