import ml_dtypes
import numpy as np
import pytest

from onnxq.calibration.conform import conform
from onnxq.calibration.notes import Notes
from onnxq.engine import InputSpec
from onnxq.errors import DataError

F32, F16, I64, I32, U8 = map(np.dtype, (np.float32, np.float16, np.int64, np.int32, np.uint8))


def conformed(array, dtype=F32, shape=("n", 3)):
    notes = Notes()
    feed = conform({"x": array}, [InputSpec("x", dtype, shape)], "data, sample 7", notes)
    return feed["x"], tuple(notes)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (np.float64, F32),
        (np.float16, F32),
        (ml_dtypes.bfloat16, F32),
        (np.float32, F16),
        (np.int32, I64),
        (np.int64, I32),
        (np.uint8, I64),
        (np.int64, U8),
        (">f4", F32),
    ],
)
def test_types_change_where_no_meaning_is_lost(given, wanted):
    values = np.array([[1, 2, 3]]).astype(given)
    array, notes = conformed(values, wanted)
    assert array.dtype == wanted
    assert notes == ()
    np.testing.assert_array_equal(array, [[1, 2, 3]])


@pytest.mark.parametrize(
    ("given", "wanted", "message"),
    [
        (np.ones((1, 3), np.uint8), F32, "is uint8, the model wants float32.*raw pixels: scale"),
        (np.ones((1, 3), np.int64), F32, r"is int64.*convert it with \.astype\('float32'\)"),
        (np.ones((1, 3), np.float32), I64, "is float32, the model wants int64"),
        (np.ones((1, 3), np.bool_), I64, "is bool, the model wants int64"),
        (np.full((1, 3), 2**40), I32, "that int32.*cannot hold; .*largest magnitude is 10995"),
        (np.full((1, 3), 1e300), F32, "that float32, the model's type, cannot hold"),
        (np.full((1, 3), -1), U8, "that uint8"),
        (np.array([["a", "b", "c"]]), F32, "is <U1, the model wants float32"),
    ],
)
def test_other_types_are_errors_that_say_what_to_do(given, wanted, message):
    with pytest.raises(DataError, match=f"data, sample 7, input 'x': .*{message}"):
        conformed(given, wanted)


def test_text_inputs_take_text():
    array, _ = conformed(np.array([["a", "b", "c"]]), np.dtype(object))
    assert array.dtype == object


def test_a_missing_batch_axis_is_added_where_the_batch_allows_it():
    for batch in ("n", None, 1):
        array, notes = conformed(np.ones(3, np.float32), shape=(batch, 3))
        assert array.shape == (1, 3)
        assert notes == ("input 'x': samples have no batch axis, one was added",)
    with pytest.raises(DataError, match=r"has shape \[3\], the model wants \[4, 3\]; 1 axes inst"):
        conformed(np.ones(3, np.float32), shape=(4, 3))
    with pytest.raises(DataError, match=r"has shape \[1, 1, 3\], the model wants \[n, 3\]"):
        conformed(np.ones((1, 1, 3), np.float32))


def test_fixed_dimensions_are_checked_and_free_ones_are_not():
    assert conformed(np.ones((5, 3), np.float32))[0].shape == (5, 3)
    assert conformed(np.ones((5, 9), np.float32), shape=(None, "m"))[0].shape == (5, 9)
    with pytest.raises(DataError, match="axis 1 is 4 instead of 3; resize or pad"):
        conformed(np.ones((1, 4), np.float32))
    with pytest.raises(DataError, match="axis 0 is 2 instead of 8; give 8 at a time"):
        conformed(np.ones((2, 3), np.float32), shape=(8, 3))
    with pytest.raises(DataError, match=r"layout differs: transpose the data from nhwc to nchw"):
        conformed(np.ones((1, 8, 8, 3), np.float32), shape=("n", 3, 8, 8))
    with pytest.raises(DataError, match=r"layout differs: transpose the data from nchw to nhwc"):
        conformed(np.ones((1, 3, 8, 8), np.float32), shape=(1, 8, 8, 3))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_errors(bad):
    values = np.array([[0, bad, 1]], np.float32)
    for array, dtype in ((values, F32), (values, F16), (values.astype(np.float64), F32)):
        with pytest.raises(
            DataError, match=r"sample 7, input 'x': holds NaN or inf.*1 of 3 values"
        ):
            conformed(array, dtype)


def test_missing_inputs_are_named_with_the_nearest():
    with pytest.raises(DataError, match="'pixels' is missing; the sample has 'pixel', 'y'; did"):
        conform({"pixel": 1, "y": 2}, [InputSpec("pixels", F32, (1,))], "s", Notes())
    with pytest.raises(DataError, match="the sample has nothing"):
        conform({}, [InputSpec("x", F32, (1,))], "s", Notes())


def test_the_result_is_contiguous():
    array, _ = conformed(np.ones((3, 5), np.float32).T)
    assert array.flags.c_contiguous
