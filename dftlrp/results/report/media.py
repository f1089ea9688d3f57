"""Sounds of the page, as data URIs, and what is to be said of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from dftlrp.results.data import ExplanationData
from dftlrp.results.differences import find_first_like
from dftlrp.results.heard import describe_heard
from dftlrp.results.sound import Sound, choose_playback, find_obstacle, make_sounds
from dftlrp.results.words import SHOWN_CHANNELS, order_channels

ALWAYS = ("original", "resynthesis")
FLAC_CHANNELS, FLAC_HZ, FLAC_SUBSET_HZ = 8, 655_350, 65_535  # what a FLAC file can hold
PLAYERS = {
    "original": ("The recording", "As the model read it."),
    "resynthesis": (
        "The parts that supported it",
        "Only the parts that supported the output: a mask over time and frequency removes the "
        "rest. Listen to this one first.",
    ),
    "complement": (
        "The rest",
        "What the mask removes: what did not matter, or opposed the output. It and the parts that "
        "supported it add up to the recording.",
    ),
    "heatmap": (
        "Supporting samples",
        "Each sample times its positive relevance. This sounds rough and full of clicks, because "
        "relevance changes from sample to sample.",
    ),
    "rectified": (
        "Rectified samples",
        "The positive half of the wave times its relevance of either sign: the formula of the "
        "AudioMNIST demo.",
    ),
    "negative": (
        "Opposing samples",
        "Each sample times its negative relevance: the parts that opposed the output.",
    ),
}


class Room(NamedTuple):
    """How many bytes of sounds there is room for, of which kinds, and which are always there."""

    size: int = 3_500_000  # what is beyond is left to the files beside the page
    kinds: tuple[str, ...] = tuple(PLAYERS)
    always: tuple[str, ...] = ALWAYS


PAGE, CELL = Room(), Room(450_000, ALWAYS, ())  # of a page; of a cell of a notebook


def write_hints(explanations: Sequence[ExplanationData], left: Sequence[str]) -> list[str]:
    """Return what to know before listening, or why there is nothing to listen to.

    ``left`` are the titles of the sounds that the page leaves out.
    """
    if reasons := [reason for e in explanations if (reason := find_obstacle(e))]:
        return reasons[:1]
    speeds = {e.rate: choose_playback(e.rate)[1] for e in explanations}
    said = [
        f"Played {speed} times faster: {rate:g} samples per second are too slow to be "
        f"heard. 1 Hz of the recording sounds as {speed} Hz."
        for rate, speed in speeds.items()
        if speed > 1
    ]
    if left:
        said.append(f"Left to the sound files beside this page: {', '.join(left).lower()}.")
    count = len(explanations[0].channels)
    if count > SHOWN_CHANNELS:
        said.append(
            f"The players hold the {SHOWN_CHANNELS} of {count} channels with most relevance; the "
            "sound files saved with this page hold all."
        )
    return said


def list_changes(e: ExplanationData) -> list[str]:
    """Return what was changed in all sounds."""
    rate, speed = choose_playback(e.rate)
    if find_obstacle(e):
        return []
    faster = [f"the sounds are played {speed} times faster"] if speed > 1 else []
    if rate != e.rate * speed:
        return [
            *faster,
            f"the sounds are played at {rate:.0f} Hz instead of {e.rate * speed:.8g} Hz",
        ]
    return faster


def make_clips(
    explanations: Sequence[ExplanationData], names: Sequence[str], room: Room = PAGE
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the sounds, and the titles of those kinds that there is no room for.

    The original is there once for each recording, the others once for each explanation.
    """
    if any(map(find_obstacle, explanations)):
        return [], []
    kept: list[dict[str, Any]] = []
    left: list[str] = []
    made = [clip for clip in _list_clips(explanations, names) if clip["kind"] in room.kinds]
    for kind, group in groupby(made, lambda clip: str(clip["kind"])):
        clips = list(group)
        size = sum(len(clip["uri"]) for clip in (*kept, *clips))
        if kind in room.always or size <= room.size:
            kept += clips
        else:
            left.append(str(clips[0]["title"]))
    return kept, left


def _list_clips(
    explanations: Sequence[ExplanationData], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return all sounds, kind by kind."""
    made = make_sounds(explanations)
    told = [describe_heard(e) for e in explanations]
    order = order_channels(explanations)[:SHOWN_CHANNELS]
    firsts = find_first_like(explanations)
    return [
        {
            "kind": kind,
            "title": title,
            "meaning": meaning,
            "told": told[k] if kind == "resynthesis" else "",
            "stretch": choose_playback(e.rate)[0] / e.rate,
            **clip,
        }
        for kind, (title, meaning) in PLAYERS.items()
        for k, e in enumerate(explanations)
        if kind != "original" or firsts[k] == k
        for clip in _split_clips(
            made[k][kind],
            e,
            order,
            names[k] if len(names) > 1 and (kind != "original" or any(firsts)) else "",
        )
    ]


def _split_clips(
    sound: Sound, e: ExplanationData, order: list[int], name: str
) -> list[dict[str, Any]]:
    """Return one clip; one for each channel if there are more than two, as speakers mix them."""
    of = f"“{name}”" if name else ""
    if sound.samples.ndim == 1 or sound.samples.shape[1] == 2:
        return [_encode_clip(sound, of, "", -1)]
    return [
        _encode_clip(
            replace(sound, samples=sound.samples[:, c]), of, e.channels[c].channel_names[0], k
        )
        for k, c in enumerate(order)
    ]


def _encode_clip(sound: Sound, of: str, channel: str, number: int) -> dict[str, Any]:
    """Return one clip; a silent one has no sound."""
    silent = not np.any(sound.samples)
    return {
        "of": of,
        "channel": channel,
        "number": number,
        "gain": sound.gain_db,
        "rate": sound.rate,
        "uri": "" if silent else encode_sound(sound),
    }


def encode_sound(sound: Sound) -> str:
    """Return a data URI of 16 bits per sample: FLAC, which is half as large, if that can be."""
    import soundfile  # type: ignore[import-untyped]

    rate, channels = round(sound.rate), 1 if sound.samples.ndim == 1 else sound.samples.shape[1]
    known = rate <= FLAC_SUBSET_HZ or (rate <= FLAC_HZ and rate % 10 == 0)
    if not known or channels > FLAC_CHANNELS:
        return make_uri("audio/wav", sound.wav("PCM_16"))
    buffer = io.BytesIO()
    soundfile.write(buffer, sound.samples, rate, "PCM_16", format="FLAC")
    return make_uri("audio/flac", buffer.getvalue())


def make_uri(kind: str, data: bytes) -> str:
    """Return a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
