from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxq.errors import DataError
from onnxq.measure import load_labels


def test_key_of_the_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "test.npz", x=np.ones((3, 2)), truth=np.array([2, 0, 1]))
    assert load_labels("truth", data=tmp_path / "test.npz").tolist() == [2, 0, 1]


def test_missing_key_names_the_others(tmp_path: Path) -> None:
    np.savez(tmp_path / "test.npz", x=np.ones(3), truth=np.ones(3))
    with pytest.raises(DataError, match="no array 'labels'; it holds truth, x"):
        load_labels("labels", data=tmp_path / "test.npz")


def test_key_without_an_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a key needs the evaluation data"):
        load_labels("labels", data=tmp_path)


def test_broken_archive(tmp_path: Path) -> None:
    (tmp_path / "test.npz").write_bytes(b"PK no archive")
    with pytest.raises(DataError, match="cannot be read"):
        load_labels("labels", data=tmp_path / "test.npz")


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "l.npy", np.array([1, 2]))
    assert load_labels("l.npy", directory=tmp_path).tolist() == [1, 2]


def test_npz_of_its_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", anything=np.array([4]))
    np.savez(tmp_path / "two.npz", labels=np.array([5]), x=np.array([6]))
    np.savez(tmp_path / "bad.npz", a=np.array([5]), b=np.array([6]))
    assert load_labels("one.npz", directory=tmp_path).tolist() == [4]
    assert load_labels("two.npz", directory=tmp_path).tolist() == [5]
    with pytest.raises(DataError, match="none is called 'labels'"):
        load_labels("bad.npz", directory=tmp_path)


def test_text(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("3\n1\n\n2\n")
    labels = load_labels("l.txt", directory=tmp_path)
    assert labels.tolist() == [3, 1, 2]
    assert labels.dtype == np.int64


def test_fractions_stay_float(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("0.5\n1\n")
    assert load_labels("l.txt", directory=tmp_path).tolist() == [0.5, 1.0]


def test_csv_takes_the_last_column_below_a_header(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text('file,label\n"a,b.png",7\nc.png,8\n')
    assert load_labels("l.csv", directory=tmp_path).tolist() == [7, 8]


@pytest.mark.parametrize(
    ("content", "message"), [("1\ncat\n", "label 2 is 'cat'"), ("", "there are no labels")]
)
def test_bad_text(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "l.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        load_labels("l.txt", directory=tmp_path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no label file"):
        load_labels("l.csv", directory=tmp_path)


def test_text_labels_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "l.npy", np.array(["cat"]))
    with pytest.raises(DataError, match="cannot be scored"):
        load_labels("l.npy", directory=tmp_path)
