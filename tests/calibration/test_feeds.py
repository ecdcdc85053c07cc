import pickle
import sys
import tracemalloc
from itertools import count

import numpy as np
import pytest

from onnxq.calibration import Feeds, open_feeds, random_feeds
from onnxq.engine import InputSpec
from onnxq.errors import DataError, UsageError

IMAGE = [InputSpec("x", np.dtype(np.float32), ("n", 3, 4, 4))]
FIXED = [InputSpec("x", np.dtype(np.float32), (1, 3))]
BATCHED = [InputSpec("x", np.dtype(np.float32), (4, 3))]
TEXT = [
    InputSpec("ids", np.dtype(np.int64), ("n", "length")),
    InputSpec("mask", np.dtype(np.int64), ("n", "length")),
]


def rows(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def shapes(feeds, name="x"):
    return [feed[name].shape for feed in feeds]


# .npz files and arrays in memory


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npz_divides_or_slices(tmp_path, save, order):
    path = tmp_path / "data.npz"
    save(path, x=np.asarray(rows(5, 1, 3), order=order))
    feeds = open_feeds(path, FIXED)
    assert len(feeds) == 5
    assert shapes(feeds) == [(1, 3)] * 5
    save(path, x=np.asarray(rows(5, 3), order=order))
    read = [feed["x"] for feed in open_feeds(str(path), FIXED)]
    np.testing.assert_array_equal(np.concatenate(read), rows(5, 3))
    assert all(array.flags.c_contiguous and array.flags.writeable for array in read)


def test_npz_rows_that_do_not_fill_a_fixed_batch_are_left_out_and_reported(tmp_path):
    np.savez(tmp_path / "data.npz", x=rows(10, 3))
    feeds = open_feeds(tmp_path / "data.npz", BATCHED)
    assert shapes(feeds) == [(4, 3), (4, 3)]
    assert len(feeds) == 2
    assert feeds.notes == (
        "input 'x': the last 2 row(s) do not fill the model's batch and are left out",
    )
    np.savez(tmp_path / "few.npz", x=rows(3, 3))
    with pytest.raises(DataError, match=r"there are no samples; input 'x': the last 3 row"):
        list(open_feeds(tmp_path / "few.npz", BATCHED))


def test_npz_with_labels_and_with_a_single_array_of_any_name(tmp_path):
    np.savez(tmp_path / "labelled.npz", x=rows(2, 3), labels=np.arange(2))
    feeds = open_feeds(tmp_path / "labelled.npz", FIXED)
    assert feeds.source.ignored == ("labels",)
    assert feeds.notes == ("arrays that are no inputs are ignored: 'labels'",)
    np.savez(tmp_path / "other.npz", arr_0=rows(2, 3))
    assert shapes(open_feeds(tmp_path / "other.npz", FIXED)) == [(1, 3)] * 2


def test_npz_that_does_not_fit(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, ids=np.zeros((2, 5), int), maskk=np.zeros((2, 5), int))
    with pytest.raises(DataError, match=r"no array for input 'mask'.*did you mean 'maskk'\?"):
        open_feeds(path, TEXT)
    np.savez(path, ids=np.zeros((2, 5), int), mask=np.zeros((3, 5), int))
    with pytest.raises(DataError, match="different numbers of samples; 'ids' has 2, 'mask' has 3"):
        open_feeds(path, TEXT)
    np.savez(path, x=rows(2, 2, 2, 3))
    with pytest.raises(DataError, match="input 'x': the array has 4 axes, the input 2"):
        open_feeds(path, FIXED)
    np.savez(path, x=np.array([{}], object))
    with pytest.raises(DataError, match="array 'x': holds pickled Python objects"):
        open_feeds(path, FIXED)
    path.write_bytes(b"not a zip")
    with pytest.raises(DataError, match=r"data\.npz: no arrays can be read"):
        open_feeds(path, FIXED)


def test_a_damaged_npz_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=rows(5000, 3))
    content = bytearray(path.read_bytes())
    content[50_000] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"data\.npz, array 'x'"):
        list(open_feeds(path, FIXED))


def test_npz_reads_rows_and_not_the_whole_array(tmp_path):
    np.savez_compressed(tmp_path / "data.npz", x=np.zeros((3000, 3, 100, 10), np.float32))
    spec = [InputSpec("x", np.dtype(np.float32), ("n", 3, 100, 10))]
    tracemalloc.start()
    total = sum(feed["x"].nbytes for feed in open_feeds(tmp_path / "data.npz", spec))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 36_000_000
    assert peak < 1_000_000


def test_arrays_in_memory_and_npy_files(tmp_path):
    assert shapes(open_feeds({"x": rows(3, 3)}, FIXED)) == [(1, 3)] * 3
    assert shapes(open_feeds(rows(3, 1, 3), FIXED)) == [(1, 3)] * 3
    assert shapes(open_feeds(rows(3), FIXED)) == [(1, 3)]
    np.save(tmp_path / "data.npy", rows(3, 3))
    feeds = open_feeds(tmp_path / "data.npy", FIXED)
    assert shapes(feeds) == [(1, 3)] * 3
    assert all(type(feed["x"]) is np.ndarray for feed in feeds)
    (tmp_path / "data.npy").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"data\.npy: no array can be read"):
        open_feeds(tmp_path / "data.npy", FIXED)


def test_an_input_without_axes_takes_one_number_per_sample():
    spec = [*FIXED, InputSpec("s", np.dtype(np.float32), ())]
    feeds = list(open_feeds({"x": rows(2, 3), "s": rows(2)}, spec))
    assert [feed["s"].item() for feed in feeds] == [0.0, 1.0]


# directories


def test_directory_of_npy_files_in_natural_order(tmp_path):
    for number in (10, 9, 1):
        np.save(tmp_path / f"s{number}.npy", np.full((1, 3), number, np.float32))
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / ".hidden.npy").write_text("hello")
    feeds = open_feeds(tmp_path, FIXED)
    assert [feed["x"][0, 0] for feed in feeds] == [1, 9, 10]
    assert [feed["x"][0, 0] for feed in open_feeds(tmp_path, FIXED, samples=2)] == [1, 9]
    assert len(feeds) == 3


def test_directory_of_npz_files(tmp_path):
    for length in (5, 7):
        ids = np.ones((1, length), np.int32)
        np.savez(tmp_path / f"{length}.npz", ids=ids, mask=ids, labels=[1])
    assert shapes(open_feeds(tmp_path, TEXT), "ids") == [(1, 5), (1, 7)]
    np.savez(tmp_path / "9.npz", ids=np.ones((1, 9), np.int32))
    with pytest.raises(DataError, match=r"9\.npz: input 'mask' is missing; the sample has 'ids'"):
        list(open_feeds(tmp_path, TEXT))


def test_directory_with_a_subdirectory_per_input(tmp_path):
    for name in ("ids", "mask"):
        (tmp_path / name).mkdir()
        for number in range(2):
            np.save(tmp_path / name / f"{number}.npy", np.full((1, 4), number))
    assert shapes(open_feeds(tmp_path, TEXT), "mask") == [(1, 4)] * 2
    np.save(tmp_path / "mask" / "2.npy", np.zeros((1, 4), int))
    with pytest.raises(DataError, match="different numbers of files; 'ids' has 2, 'mask' has 3"):
        open_feeds(tmp_path, TEXT)


def test_directories_without_samples(tmp_path):
    with pytest.raises(DataError, match=r"no samples for this model; it is empty; put .npy"):
        open_feeds(tmp_path, FIXED)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"it holds a\.txt; give an \.npz file per sample, or a"):
        open_feeds(tmp_path, TEXT)
    np.save(tmp_path / "a.npy", rows(1, 3))
    np.savez(tmp_path / "a.npz", rows(1, 3))
    with pytest.raises(DataError, match=r"both \.npz files and single arrays.*a\.npz and a\.npy"):
        open_feeds(tmp_path, FIXED)
    with pytest.raises(DataError, match=r"none: no such file or directory; give an \.npz"):
        open_feeds(tmp_path / "none", FIXED)
    with pytest.raises(DataError, match=r"a\.txt: is no file of samples"):
        open_feeds(tmp_path / "a.txt", FIXED)


# modules, functions, iterables


def test_module_and_function(tmp_path, monkeypatch):
    (tmp_path / "my_samples.py").write_text(
        "import numpy as np\n"
        "calls = []\n"
        "def samples():\n"
        "    calls.append(1)\n"
        "    return (np.ones((1, 3), np.float32) * i for i in range(3))\n"
        "value = 1\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    feeds = open_feeds("my_samples:samples", FIXED)
    assert shapes(feeds) == shapes(feeds) == [(1, 3)] * 3
    assert len(sys.modules["my_samples"].calls) == 2
    assert feeds.description == "my_samples:samples"
    assert sys.path == before
    with pytest.raises(UsageError, match=r"no function 'sample'; did you mean 'samples'\?"):
        open_feeds("my_samples:sample", FIXED)
    with pytest.raises(UsageError, match="no function 'value'"):
        open_feeds("my_samples:value", FIXED)
    with pytest.raises(UsageError, match="module 'not_there' cannot be imported"):
        open_feeds("not_there:samples", FIXED)
    del sys.modules["my_samples"]


def test_lists_of_everything_a_sample_can_be():
    ids = np.ones((1, 4), np.int64)
    forms = [
        {"ids": ids, "mask": ids, "other": 1},
        (ids, ids),
        [ids, ids, np.array([3])],
        ((ids, ids), 3),
        ({"ids": ids, "mask": ids}, 3),
        ([[1, 2]], [[1, 1]]),
    ]
    feeds = open_feeds(forms, TEXT)
    assert len(feeds) == 6
    for _ in range(2):
        read = list(feeds)
        assert all(feed.keys() == {"ids", "mask"} for feed in read)
    assert feeds.notes == (
        "samples have 1 more part(s) than the model has inputs: taken for labels and ignored",
    )


@pytest.mark.parametrize(
    "sample", [rows(1, 3), [rows(1, 3)], (rows(1, 3), 7), [[1.0, 2.0, 3.0]], {"x": [[1, 2.0, 3]]}]
)
def test_samples_of_a_model_with_one_input(sample):
    assert shapes(open_feeds([sample], FIXED)) == [(1, 3)]


def test_a_generator_is_streamed_once():
    taken = []

    def generate():
        for number in count():
            taken.append(number)
            yield rows(1, 3)

    feeds = open_feeds(generate(), FIXED, samples=3)
    assert feeds.length is None
    with pytest.raises(TypeError, match="how many samples there are is not known"):
        len(feeds)
    assert feeds
    assert shapes(feeds) == [(1, 3)] * 3
    assert taken == [0, 1, 2]
    with pytest.raises(DataError, match=r"generator: the samples have been read already.*function"):
        list(feeds)


def test_a_function_is_called_for_every_reading():
    feeds = open_feeds(lambda: iter([rows(1, 3)]), FIXED)
    assert shapes(feeds) == shapes(feeds) == shapes(feeds) == [(1, 3)]
    assert len(open_feeds(lambda: [rows(1, 3)] * 4, FIXED)) == 4


def three_samples():
    return (np.full((1, 3), i, np.float32) for i in range(3))


def test_feeds_can_be_sent_to_other_processes(tmp_path):
    np.savez(tmp_path / "data.npz", x=rows(3, 3))
    np.save(tmp_path / "0.npy", rows(1, 3))
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder" / "0.npy", rows(1, 3))
    for source in (three_samples, tmp_path / "data.npz", tmp_path / "folder", [rows(1, 3)]):
        feeds = open_feeds(source, FIXED)
        copy = pickle.loads(pickle.dumps(feeds))
        assert shapes(copy) == shapes(feeds)


class Reader:
    def __init__(self):
        self.left = [{"x": rows(1, 3)}] * 2

    def get_next(self):
        return self.left.pop() if self.left else None


class RewindingReader(Reader):
    def rewind(self):
        self.__init__()


def test_calibration_data_readers():
    feeds = open_feeds(RewindingReader(), FIXED)
    assert shapes(feeds) == shapes(feeds) == [(1, 3)] * 2
    feeds = open_feeds(Reader(), FIXED)
    assert shapes(feeds) == [(1, 3)] * 2
    with pytest.raises(DataError, match=r"Reader: .* add a method rewind"):
        list(feeds)


def test_the_reader_of_onnxruntime():
    from onnxruntime.quantization import CalibrationDataReader

    class Data(CalibrationDataReader):
        def __init__(self):
            self.left = [{"x": rows(1, 3)}] * 2

        def get_next(self):
            return self.left.pop() if self.left else None

    assert shapes(open_feeds(Data(), FIXED)) == [(1, 3)] * 2


class Tensor:
    """What torch tensors offer; `numpy` fails as theirs does while gradients are needed."""

    def __init__(self, array, detached=False, here=False):
        self.array, self.detached, self.here = array, detached, here

    def detach(self):
        return Tensor(self.array, detached=True, here=self.here)

    def cpu(self):
        return Tensor(self.array, detached=self.detached, here=True)

    def numpy(self):
        if not (self.detached and self.here):
            raise RuntimeError("call detach() first")
        return self.array


class Loader:
    def __len__(self):
        return 2

    def __iter__(self):
        return iter([(Tensor(rows(8, 3)), Tensor(np.arange(8)))] * 2)


class Dataset:
    """A torch Dataset: no end but its length."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return rows(3), index


def test_data_loaders_and_datasets():
    spec = [InputSpec("x", np.dtype(np.float32), ("n", 3))]
    feeds = open_feeds(Loader(), spec)
    assert len(feeds) == 2
    assert shapes(feeds) == shapes(feeds) == [(8, 3)] * 2
    assert "taken for labels" in feeds.notes[0]
    feeds = open_feeds(Dataset(), spec)
    assert shapes(feeds) == [(1, 3)] * 3
    assert "input 'x': samples have no batch axis, one was added" in feeds.notes


def test_real_torch():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.randn(6, 3, requires_grad=True), torch.arange(6))
    loader = torch.utils.data.DataLoader(data, batch_size=2)
    spec = [InputSpec("x", np.dtype(np.float32), ("n", 3))]
    assert shapes(open_feeds(loader, spec)) == [(2, 3)] * 3
    assert shapes(open_feeds(data, spec)) == [(1, 3)] * 6
    with pytest.raises(DataError, match="cannot be read as an array"):
        list(open_feeds([torch.zeros(1, 3, dtype=torch.bfloat16)], spec))


def test_what_is_no_source():
    with pytest.raises(UsageError, match="a int is no source of samples"):
        open_feeds(3, FIXED)
    with pytest.raises(DataError, match="there are no samples"):
        list(open_feeds([], FIXED))
    with pytest.raises(DataError, match=r"sample 0: a sample has 1 array\(s\), the model 2 inputs"):
        list(open_feeds([rows(1, 3)], TEXT))
    with pytest.raises(UsageError, match="0 samples cannot be read"):
        open_feeds([], FIXED, samples=0)


# limits, shards, digests, random inputs


def test_limits_and_shards():
    feeds = open_feeds([np.full((1, 3), i, np.float32) for i in range(10)], FIXED, samples=7)
    assert len(feeds) == 7
    assert len(open_feeds(feeds, FIXED, samples=5)) == 5
    assert len(open_feeds(feeds, FIXED)) == 7
    shards = feeds.shards(3)
    read = [[feed["x"][0, 0] for feed in shard] for shard in shards]
    assert read == [[0, 3, 6], [1, 4], [2, 5]]
    assert [len(shard) for shard in shards] == [3, 2, 2]
    assert len(feeds.shards(20)) == 7
    with pytest.raises(UsageError, match="cannot be divided again"):
        shards[0].shards(2)
    with pytest.raises(UsageError, match="no shard 3 of 3"):
        Feeds(feeds.source, feeds.specs, part=3, parts=3)


def test_digests_follow_the_content(tmp_path):
    def digest(path, **options):
        return open_feeds(path, FIXED, **options).digest

    one, other, same = (tmp_path / f"{name}.npz" for name in "abc")
    np.savez(one, x=rows(4, 3))
    np.savez(other, x=rows(4, 3) + 1)
    np.savez_compressed(same, x=rows(4, 3))
    assert digest(one) == digest(same) != digest(other)
    assert digest(one, samples=2) != digest(one)
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "0.npy", rows(1, 3))
    before = digest(folder)
    assert before == digest(folder)
    np.save(folder / "0.npy", rows(1, 3) + 1)
    assert digest(folder) != before
    assert digest([rows(1, 3)]) is None


def test_random_feeds_repeat_and_differ_by_sample_and_seed():
    specs = [InputSpec("x", np.dtype(np.float32), ("n", 3, "side")), TEXT[1]]
    feeds = random_feeds(specs, 3, seed=5, dimensions={"side": 7})
    first, again = list(feeds), list(feeds)
    assert shapes(first) == [(1, 3, 7)] * 3
    assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0]["x"], first[1]["x"])
    other = next(iter(random_feeds(specs, 3, seed=6, dimensions={"side": 7})))
    assert not np.array_equal(first[0]["x"], other["x"])
    assert set(np.unique([feed["mask"] for feed in first])) <= {0, 1}
    assert "made up" in feeds.notes[0]
    assert len(feeds) == 3
    with pytest.raises(UsageError, match="ask for at least 1"):
        random_feeds(specs, 0, seed=0)
