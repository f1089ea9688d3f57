"""Laws of the store: complete or not there, and the same bytes whatever happened."""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import SETTINGS, files

from dftlrp.concepts.shards import Store, open_store
from dftlrp.concepts.shards.store import pack_arrays, write_shard
from dftlrp.core.types import InputError

ARRAYS = {
    "mean": np.arange(6.0).reshape(2, 3),
    "count": np.array(7),
    "names": np.array(["a", "bc"]),
}


def result(index: int) -> dict[str, np.ndarray]:
    return {**ARRAYS, "index": np.full(50, index)}


def put(store: Store, *numbers: int) -> None:
    for i in numbers:
        store.record(i, write_shard(store.folder, i, pack_arrays(result(i))))


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return found.keys() == wanted.keys() and all(np.array_equal(found[k], wanted[k]) for k in found)


def test_what_is_recorded_is_there_again(tmp_path):
    with open_store(tmp_path / "new" / "out", SETTINGS) as store:
        put(store, 3, 0)
    with open_store(tmp_path / "new" / "out", SETTINGS) as store:
        assert set(store.done) == {0, 3}
        assert same(store.load(3), result(3))
    assert store.load(3)["mean"].dtype == np.float64


def test_the_folder_does_not_depend_on_time_or_order(tmp_path):
    for name, order, pause in (("a", (0, 1, 2), 0.0), ("b", (2, 0, 1), 2.1)):
        time.sleep(pause)  # a zip file counts in steps of two seconds
        with open_store(tmp_path / name, SETTINGS) as store:
            put(store, *order)
            store.tidy()
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_packed_arrays_are_the_same_bytes_in_any_order_of_names():
    assert pack_arrays(ARRAYS) == pack_arrays(dict(reversed(ARRAYS.items())))


def test_objects_are_not_saved():
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        pack_arrays({"a": np.array([object()])})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "xy"}, 'model has changed from "ab12" to "xy"'),
        ({"options": {"batch": 8, "rule": "epsilon"}}, "options has changed"),
        ({"more": 1}, "more has changed from null to 1"),
        ({"model": "xy", "data": "z"}, r"data has changed .* \(so have model\)"),
    ],
)
def test_other_settings_are_refused_and_named(tmp_path, change, said):
    with open_store(tmp_path, SETTINGS) as store:
        put(store, 0)
    before = files(tmp_path)
    with pytest.raises(InputError, match=said), open_store(tmp_path, SETTINGS | change):
        pass
    assert files(tmp_path) == before


def test_a_setting_that_is_gone_is_refused(tmp_path):
    with open_store(tmp_path, SETTINGS):
        pass
    with pytest.raises(InputError, match="to null"), open_store(tmp_path, {"model": "ab12"}):
        pass


def test_settings_are_compared_as_json_knows_them(tmp_path):
    for value in ((1, 2), [1, 2]):
        with open_store(tmp_path, {"a": value}):
            pass


def test_damaged_settings_are_refused(tmp_path):
    with open_store(tmp_path, SETTINGS):
        pass
    (tmp_path / "settings.json").write_text('{"model": ')
    with (
        pytest.raises(InputError, match=r"settings\.json: damaged"),
        open_store(tmp_path, SETTINGS),
    ):
        pass


def test_results_without_settings_do_not_count(tmp_path):
    with open_store(tmp_path, SETTINGS) as store:
        put(store, 0)
    (tmp_path / "settings.json").unlink()
    with open_store(tmp_path, SETTINGS) as store:
        assert not store.done


def test_one_run_at_a_time_writes_to_a_folder(tmp_path):
    with (
        open_store(tmp_path, SETTINGS),
        pytest.raises(InputError, match="another run is writing here"),
        open_store(tmp_path, SETTINGS),
    ):
        pass
    with open_store(tmp_path, SETTINGS):
        pass


def test_a_result_that_a_worker_wrote_elsewhere_is_refused(tmp_path):
    with open_store(tmp_path, SETTINGS) as store:
        with pytest.raises(InputError, match="must be shared by all machines"):
            store.record(0, "ab")
        assert not store.done


def test_what_is_damaged_after_it_was_recorded_is_not_read(tmp_path):
    with open_store(tmp_path, SETTINGS) as store:
        put(store, 0)
        path = tmp_path / "shards" / "000000.npz"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(InputError, match="damaged"):
            store.load(0)
        path.unlink()
        with pytest.raises(InputError, match="No such file"):
            store.load(0)


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="cannot write") as caught,
        open_store(tmp_path / "file" / "out", SETTINGS),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_files_of_others_are_left_alone(tmp_path):
    mine = [tmp_path / "notes.txt", tmp_path / "shards" / "mine.npz"]
    (tmp_path / "shards").mkdir()
    for path in mine:
        path.write_text("mine")
    with open_store(tmp_path, SETTINGS) as store:
        put(store, 0)
        store.tidy()
    assert all(path.read_text() == "mine" for path in mine)


def test_what_was_half_written_or_not_recorded_is_cleared_away(tmp_path):
    with open_store(tmp_path, SETTINGS) as store:
        put(store, 0)
        before = files(tmp_path)
        (tmp_path / "shards" / f"000001.npz.{'a' * 32}.part").write_bytes(b"PK")
        write_shard(store.folder, 2, pack_arrays(ARRAYS))
    with open_store(tmp_path, SETTINGS):
        assert files(tmp_path) == before


DAMAGE = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("flip"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("append"), st.sampled_from([b"{", b"\n", b'{"shard": 1}\n', b"\xff\x00"])),
)
VICTIMS = [*(f"shards/{i:06d}.npz" for i in range(4)), "manifest.jsonl"]


def damage(path: Path, kind: str, how: float | bytes) -> None:
    data = bytearray(path.read_bytes())
    place = int(how * len(data)) if isinstance(how, float) else 0
    if kind == "cut":
        del data[place:]
    elif kind == "flip":
        data[place] ^= 1 << place % 8
    else:
        data += how
    path.write_bytes(data)


@settings(deadline=None, max_examples=50)
@given(
    numbers=st.permutations(range(4)),
    damages=st.lists(st.tuples(st.sampled_from(VICTIMS), DAMAGE), max_size=3),
)
def test_whatever_is_damaged_what_is_done_is_right_and_the_rest_can_be_redone(numbers, damages):
    with TemporaryDirectory() as name:
        folder = Path(name)
        with open_store(folder, SETTINGS) as store:
            put(store, *numbers)
            store.tidy()
        whole = files(folder)
        for victim, (kind, how) in damages:
            if (folder / victim).stat().st_size:
                damage(folder / victim, kind, how)
        hurt = {victim for victim, _ in damages}
        with open_store(folder, SETTINGS) as store:
            if "manifest.jsonl" not in hurt:
                assert set(store.done) >= {i for i in range(4) if VICTIMS[i] not in hurt}
            assert all(same(store.load(i), result(i)) for i in store.done)
            put(store, *(set(range(4)) - set(store.done)))
            store.tidy()
        assert files(folder) == whole


def test_the_manifest_is_lines_of_json_with_sums(tmp_path):
    with open_store(tmp_path, SETTINGS) as store:
        put(store, 0, 1)
        text = (tmp_path / "manifest.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["shard"] for row in rows] == [0, 1]
    assert [row["sha256"] for row in rows] == list(store.done.values())
