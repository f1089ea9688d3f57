"""Which recordings a data set has: labels, order, what is skipped and what is refused."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import soundfile

from dftlrp.attribution.recording import read_header, read_recording
from dftlrp.concepts.recordings import find_recordings
from dftlrp.core.types import InputError

LABELS = ("yes", "no", "go")


def sound(path, rate=8000, frames=400, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(map(ord, path.name))
    x = np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels))
    soundfile.write(path, x, rate)
    return path


@pytest.fixture
def folder(tmp_path):
    """Recordings in folders that name their classes, and what is no recording."""
    for name in ("no/b.wav", "no/a.flac", "yes/deep/c.wav"):
        sound(tmp_path / "data" / name)
    (tmp_path / "data" / "README.md").write_text("hello")
    return tmp_path / "data"


def find(source, **options):
    return find_recordings(source, 3, LABELS, **{"rate": 8000.0, **options})


def names(found):
    return [(item.name, item.label, item.index) for item in found.items]


def test_the_first_folder_names_the_class_and_the_order_is_by_name(folder):
    found = find(folder)
    assert names(found) == [
        ("no/a.flac", "no", 1),
        ("no/b.wav", "no", 1),
        ("yes/deep/c.wav", "yes", 0),
    ]
    assert found.skipped == found.notes == ()
    assert all(item.path == folder / item.name for item in found.items)


def test_a_header_says_what_reading_gives(folder):
    path = sound(folder / "no" / "d.wav", 11025, 77, 2)
    header, read = read_header(path), read_recording(path)
    assert header[:5] == (11025.0, 2, 77, read.sha256, ())
    assert (header.rate, header.frames) == (read.rate, read.length)


@pytest.mark.parametrize(
    ("pattern", "label"),
    [
        ("{label}_{speaker}_{take}.wav", "go"),
        ("{speaker}_{label}_{take}.wav", "no"),
        ("{label}_*.wav", "go"),
        ("{all}_{label}.wav", "no_1"),
        (r"(?P<label>[a-z]+)_.*_\d\.wav", "go"),
        ("{label}/*.wav", "yes"),
        (r"(?P<label>\w+)/[^/]*", "yes"),
    ],
)
def test_a_pattern_says_where_the_label_stands(tmp_path, pattern, label):
    sound(tmp_path / "yes" / "go_no_1.wav")
    assert find_recordings(tmp_path, 4, (*LABELS, "no_1"), pattern=pattern).items[0].label == label


def test_a_dot_in_a_pattern_is_a_dot(tmp_path):
    sound(tmp_path / "go_1.wav")
    sound(tmp_path / "go_1_wav.flac")
    found = find(tmp_path, pattern="{label}_{take}.wav")
    assert [item.name for item in found.items] == ["go_1.wav"]
    assert found.skipped == (("go_1_wav.flac", "does not match the pattern"),)


@pytest.mark.parametrize(
    "pattern", ["*.wav", "{speaker}.wav", "{label}_{label}.wav", "(?P<label>["]
)
def test_a_pattern_without_one_label_is_refused(folder, pattern):
    with pytest.raises(InputError, match="pattern"):
        find(folder, pattern=pattern)


def test_a_label_may_be_an_index(tmp_path):
    sound(tmp_path / "2_x.wav")
    assert names(find(tmp_path, pattern="{label}_*.wav")) == [("2_x.wav", "2", 2)]


def test_a_table_lists_files_beside_itself(folder):
    table = folder.parent / "list.csv"
    table.write_text("\ufefflabel,file,more\nyes,data/no/b.wav,1\ngo,data/no/a.flac,2\n", "utf-8")
    found = find(table)
    assert names(found) == [("data/no/a.flac", "go", 2), ("data/no/b.wav", "yes", 0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\na.wav,yes\n", "needs the columns file and label, has path, label"),
        ("", "has nothing"),
        ("file,label\n", "holds no recordings"),
        ("file,label\na.wav\n", "line 2: file or label is missing"),
        ("file,label\na.wav,yes\nb.wav,no\na.wav,no\n", "lists a.wav twice"),
        ("file,label\na.wav,perhaps\n", "'perhaps' name no class"),
        ("file,label\na.wav,yes\n", "none of 1 recordings can be used; a.wav: no such file"),
        ("file,label\n\udcff,yes\n", "not a CSV file in UTF-8"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path, text, said):
    (tmp_path / "list.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=said) as caught:
        find(tmp_path / "list.csv")
    assert "\n" not in str(caught.value)


def test_what_cannot_be_used_is_skipped_and_listed(folder):
    (folder / "yes" / "empty.wav").touch()
    sound(folder / "yes" / "silent.wav", frames=0)
    (folder / "yes" / "text.wav").write_text("hello")
    cut = sound(folder / "yes" / "cut.wav")
    cut.write_bytes(cut.read_bytes()[:300])
    sound(folder / "loose.wav")
    found = find(folder)
    assert len(found.items) == 3
    said = dict(found.skipped)
    assert said.keys() == {f"yes/{n}.wav" for n in ("empty", "silent", "text", "cut")} | {
        "loose.wav"
    }
    assert said["yes/empty.wav"] == "is empty"
    assert said["yes/silent.wav"] == "holds no samples"
    assert said["yes/text.wav"].startswith("not a sound file that can be read")
    assert said["yes/cut.wav"].startswith("truncated")
    assert said["loose.wav"] == "lies in no folder that names its class"


def test_containers_that_are_rare_are_read_or_skipped(folder):
    x = np.random.default_rng(0).uniform(-0.5, 0.5, 800)
    for number, (container, codec) in enumerate(
        [("WAV", "GSM610"), ("XI", "DPCM_16"), ("IRCAM", "PCM_16"), ("NIST", "PCM_16")]
    ):
        soundfile.write(folder / "yes" / f"{number}.wav", x, 8000, codec, format=container)
    cut = folder / "yes" / "3.wav"
    cut.write_bytes(cut.read_bytes()[:-9])
    found = find(folder)
    assert [name for name, _, _ in names(found) if name[4].isdigit()] == [
        "yes/0.wav",
        "yes/1.wav",
        "yes/2.wav",
    ]
    assert found.skipped == (("yes/3.wav", "truncated: 9 bytes of sound are missing"),)
    assert found.notes[-1].startswith("warning: the file does not state its length")
    assert found.notes[-1].endswith("(yes/1.wav first)")


def test_recordings_with_too_few_channels_are_skipped(folder):
    sound(folder / "go" / "stereo.wav", channels=2)
    found = find(folder, channels=2)
    assert [item.name for item in found.items] == ["go/stereo.wav"]
    assert len(found.skipped) == 3
    assert found.skipped[0][1] == "the model reads 2 channels, it has 1"
    assert len(find(folder).items) == 4


def test_rates_that_differ_are_refused_by_two_names_where_no_rate_is_known(folder):
    sound(folder / "go" / "fast.wav", 44100)
    said = r"go/fast.wav has 44100 Hz, no/a.flac 8000 Hz"
    with pytest.raises(InputError, match=said):
        find(folder, rate=None)


def test_rates_that_differ_from_the_models_are_noted(folder):
    sound(folder / "go" / "fast.wav", 44100)
    (note,) = find(folder).notes
    assert note == "1 of 4 recordings are resampled to 8000 Hz, first go/fast.wav from 44100 Hz"


def test_where_no_rate_is_known_the_recordings_rate_is_taken_and_noted(folder):
    found = find(folder, rate=None)
    assert found.rate == 8000
    assert found.notes == (
        "assuming 8000 Hz, the rate of the recordings; set --rate if that is wrong",
    )


def test_labels_that_name_no_class_are_named_with_the_classes(folder):
    for name in ("maybe", "perhaps", "3"):
        sound(folder / name / "x.wav")
    said = r"labels '3', 'maybe', 'perhaps' name no class; classes are 0 to 2, or 'yes', 'no', 'go'"
    with pytest.raises(InputError, match=said):
        find(folder)
    with pytest.raises(InputError, match=r"'no', 'perhaps', 'yes' name no class; .* 0 to 3$"):
        find_recordings(folder, 4)


@pytest.mark.parametrize(
    ("files", "pattern", "said"),
    [
        ([], None, "holds no recordings"),
        (["notes.txt"], None, "holds no recordings"),
        (["a.wav"], None, "a.wav lies in no folder that names its class; give a pattern"),
        (
            ["yes/a.wav"],
            "{label}_{take}.wav",
            "yes/a.wav does not match the pattern; the pattern is",
        ),
    ],
)
def test_a_folder_of_nothing_that_has_a_label_is_refused(tmp_path, files, pattern, said):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=said):
        find(tmp_path, pattern=pattern)


def test_where_none_can_be_used_the_first_is_named(tmp_path):
    (tmp_path / "yes").mkdir()
    (tmp_path / "yes" / "a.wav").touch()
    with pytest.raises(InputError, match=r"none of 1 recordings can be used; yes/a.wav: is empty"):
        find(tmp_path)


def test_a_source_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder or table"):
        find(tmp_path / "nowhere")


def test_the_digest_tells_contents_labels_and_names_but_not_the_place(folder, tmp_path):
    first = find(folder).digest
    folder = folder.rename(tmp_path / "elsewhere")
    assert find(folder).digest == first
    found = {first}
    (folder / "no" / "b.wav").rename(folder / "no" / "e.wav")
    found.add(find(folder).digest)
    (folder / "yes").rename(folder / "go")
    found.add(find(folder).digest)
    data = bytearray((folder / "no" / "e.wav").read_bytes())
    data[-1] ^= 1
    (folder / "no" / "e.wav").write_bytes(data)
    found.add(find(folder).digest)
    assert len(found) == 4


def test_spoken_digits_are_found_by_their_names(shared):
    pattern = "{label}_{speaker}_{take}.wav"
    found = find_recordings(shared / "data" / "fsdd", 10, pattern=pattern, rate=8000)
    assert np.bincount([item.index for item in found.items]).tolist() == [300] * 10
    assert found.skipped == found.notes == ()


def test_a_name_that_is_no_utf_8_is_shown_escaped_and_found(folder):
    shutil.copyfile(folder / "no/b.wav", folder / os.fsdecode(b"no/caf\xe9.wav"))
    (item,) = [i for i in find(folder).items if "caf" in i.name]
    assert item.name == "no/caf\\udce9.wav"
    assert item.path.is_file()
