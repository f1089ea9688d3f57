"""Pictures and players of the page, as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dftlrp.results.data import Domain, ExplanationData
from dftlrp.results.figure import choose_rows, draw_figure, render_figure
from dftlrp.results.heard import describe_heard
from dftlrp.results.sound import Sound, choose_playback, find_obstacle, make_sounds
from dftlrp.results.words import SHOWN_CHANNELS, format_number, order_channels

FOLDED_CHANNELS = 32  # at most so many have pictures; the table holds all
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


def draw_pictures(explanations: Sequence[ExplanationData]) -> dict[str, Any]:
    """Return one picture for each domain, so that they stack on a small screen.

    If there are more channels than these can show, further pictures, to be folded away, hold the
    next ones.
    """
    order, rows = order_channels(explanations), choose_rows(explanations)
    starts = range(SHOWN_CHANNELS, min(len(order), FOLDED_CHANNELS), SHOWN_CHANNELS)
    later = [order[start : start + SHOWN_CHANNELS] for start in starts]
    split = [row for row in rows if explanations[0].has_channels(row.name)]
    return {
        "shown": [_draw_picture(explanations, row, order[:SHOWN_CHANNELS], 200) for row in rows],
        "folded": [_draw_picture(explanations, row, c, 100) for c in later for row in split],
        "count": sum(map(len, later)),
        "channels": len(order),
    }


def _draw_picture(
    explanations: Sequence[ExplanationData], row: Domain, drawn: list[int], dpi: int
) -> dict[str, str]:
    """Draw some channels in one domain; all together if it belongs to no channel."""
    whole = not explanations[0].has_channels(row.name)
    fig = draw_figure(explanations, [row.name], title=False, channels=None if whole else drawn)
    shown = [e if whole else e.channels[c] for e in explanations for c in ([0] if whole else drawn)]
    sums = "; ".join(_describe_sums(e, row) for e in shown)
    return {
        "title": row.title,
        "uri": make_uri("image/png", render_figure(fig, dpi=dpi)),
        "alt": f"The signal, and below it its relevance over {row.title.lower()}: {sums}.",
    }


def _describe_sums(e: ExplanationData, row: Domain) -> str:
    """Say how large the relevance of one channel is."""
    R = np.asarray(e.relevance[row.name])
    whole, favour, against = (
        format_number(float(part.sum())) for part in (R, np.maximum(R, 0), np.minimum(R, 0))
    )
    of = f", {e.channel_names[0]}," if len(e.channel_names) == 1 else ""
    return (
        f"for “{e.label}”{of} it adds up to {whole}, of which {favour} supports the output and "
        f"{against} opposes it"
    )


def write_hints(explanations: Sequence[ExplanationData]) -> list[str]:
    """Return what to know before listening, or why there is nothing to listen to."""
    first = explanations[0]
    if reasons := [reason for e in explanations if (reason := find_obstacle(e))]:
        return reasons[:1]
    _, speed = choose_playback(first.rate)
    said = [
        "Sounds with the same gain can be compared: louder means more. Frequencies below "
        "20\N{NO-BREAK SPACE}Hz are removed, and the first and the last 5 ms are faded."
    ]
    if speed > 1:
        said = [
            f"Played {speed} times faster: {first.rate:g} samples per second are too slow to be "
            f"heard. 1 Hz of the recording sounds as {speed} Hz.",
            *said,
        ]
    if "waveform" in first.asked:
        said.append(
            "To ask the model what it hears in the parts that supported it and in the rest, each "
            "was made as loud as the recording."
        )
    count = len(first.channels)
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


def make_players(explanations: Sequence[ExplanationData]) -> list[dict[str, Any]]:
    """Return the players by kind: the original once, the others once for each explanation."""
    if any(map(find_obstacle, explanations)):
        return []
    made = make_sounds(explanations)
    told = [sentence for e in explanations if (sentence := describe_heard(e))]
    order = order_channels(explanations)[:SHOWN_CHANNELS]
    return [
        {
            "title": title,
            "meaning": meaning,
            "told": told if kind == "resynthesis" else [],
            "gain": made[0][kind].gain_db,
            "clips": [
                clip
                for one, e in zip(made, explanations, strict=True)
                if kind != "original" or e is explanations[0]
                for clip in _split_clips(one[kind], e, order, len(explanations) > 1)
            ],
        }
        for kind, (title, meaning) in PLAYERS.items()
    ]


def _split_clips(
    sound: Sound, e: ExplanationData, order: list[int], several: bool
) -> list[dict[str, Any]]:
    """Return one clip; one for each channel if there are more than two, as speakers mix them."""
    if sound.samples.ndim == 1 or sound.samples.shape[1] == 2:
        return [_encode_clip(sound, f"“{e.label}”")]
    parts = [replace(sound, samples=sound.samples[:, c]) for c in order]
    names = [e.channels[c].channel_names[0] for c in order]
    of = f", “{e.label}”" if several and sound.kind != "original" else ""
    return [_encode_clip(part, name + of) for part, name in zip(parts, names, strict=True)]


def _encode_clip(sound: Sound, name: str) -> dict[str, Any]:
    """Return one clip; a silent one has no sound."""
    silent = not np.any(sound.samples)
    uri = "" if silent else make_uri("audio/wav", sound.wav("PCM_16"))
    return {"name": name, "silent": silent, "uri": uri}


def make_uri(kind: str, data: bytes) -> str:
    """Return a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
