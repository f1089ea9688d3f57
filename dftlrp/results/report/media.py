"""Pictures and players of the page, as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dftlrp.results.figure import DOMAINS, figure, image
from dftlrp.results.sound import Sound, playback, sounds, unheard
from dftlrp.results.words import SHOWN_CHANNELS, channel_order, number

if TYPE_CHECKING:
    from dftlrp.results.explanation import Explanation

FOLDED_CHANNELS = 32  # pictures of no more; the table holds all
ORDER = ("original", "resynthesis", "heatmap", "rectified", "negative")
TITLES = {
    "original": "The recording",
    "resynthesis": "What spoke for it",
    "heatmap": "Samples in favour",
    "rectified": "Rectified samples",
    "negative": "Samples against",
}
MEANINGS = {
    "original": "As the model read it.",
    "resynthesis": "The recording with every pitch at every moment turned down, except where it "
    "spoke for the output. The one to listen to first.",
    "heatmap": "Each sample times its positive relevance. Rough and clicky by nature: the "
    "relevance changes from sample to sample.",
    "rectified": "The positive half of the wave times its relevance, for and against: the "
    "formula of the AudioMNIST demo.",
    "negative": "Each sample times its negative relevance: what spoke against the output.",
}
PICTURES = {
    "time": "Time",
    "frequency": "Frequency",
    "time-frequency": "Time and frequency",
    "mel": "Time and mel bands",
    "input": "What the model reads",
}


def pictures(explanations: Sequence[Explanation]) -> dict[str, Any]:
    """One picture per domain, so that they stack on a small screen.

    Of more channels than these can show, further ones, to be folded away, hold the next.
    """
    order = channel_order(explanations)
    starts = range(SHOWN_CHANNELS, min(len(order), FOLDED_CHANNELS), SHOWN_CHANNELS)
    later = [order[start : start + SHOWN_CHANNELS] for start in starts]
    return {
        "shown": _sheet(explanations, order[:SHOWN_CHANNELS], 200),
        "folded": [picture for sheet in later for picture in _sheet(explanations, sheet, 100)],
        "count": sum(map(len, later)),
        "channels": len(order),
    }


def _sheet(explanations: Sequence[Explanation], drawn: list[int], dpi: int) -> list[dict[str, str]]:
    """Draw some channels in each domain."""
    views = [e.channels for e in explanations]
    return [
        {
            "title": PICTURES[domain],
            "uri": _data_uri(
                "image/png",
                image(figure(explanations, [domain], title=False, channels=drawn), dpi=dpi),
            ),
            "alt": _alt([[channels[c] for c in drawn] for channels in views], domain),
        }
        for domain in DOMAINS
        if all(domain in channels[0].relevance for channels in views)
    ]


def _alt(views: Sequence[Sequence[Explanation]], domain: str) -> str:
    """Say in words what the picture shows."""
    sums = "; ".join(_amounts(e, domain) for channels in views for e in channels)
    return f"The signal, and below it its relevance over {PICTURES[domain].lower()}: {sums}."


def _amounts(e: Explanation, domain: str) -> str:
    """Relevance of one channel in words."""
    R = np.asarray(e.relevance[domain])
    whole, favour, against = (
        number(float(part.sum())) for part in (R, np.maximum(R, 0), np.minimum(R, 0))
    )
    of = f", {e.channel_names[0]}," if e.channel_names else ""
    return (
        f"for “{e.label}”{of} it adds up to {whole}, of which {favour} speaks for it and "
        f"{against} against it"
    )


def listen(explanations: Sequence[Explanation]) -> list[str]:
    """What to know before listening; or, instead, why there is nothing to listen to."""
    first = explanations[0]
    if reasons := [reason for e in explanations if (reason := unheard(e))]:
        return reasons[:1]
    rate, speed = playback(first.rate)
    said = [
        "Sounds with the same gain compare: louder means more. Slow drift below "
        "20\N{NO-BREAK SPACE}Hz is taken out and the first and last 5 ms are faded."
    ]
    if speed > 1:
        said = [
            f"Played {speed} times faster: {first.rate:g} samples per second are too slow to be "
            f"heard, so here they are {rate:.0f}, and 1 Hz of the recording sounds as {speed} Hz.",
            *said,
        ]
    count = len(first.channels)
    if count > SHOWN_CHANNELS:
        said.append(
            f"Here are the {SHOWN_CHANNELS} of {count} channels with most relevance; the sound "
            "files saved with this page hold all."
        )
    return said


def notes(e: Explanation) -> list[str]:
    """What was done to the sounds."""
    rate, speed = playback(e.rate)
    told = [] if unheard(e) or speed == 1 else [f"the sounds are played {speed} times faster"]
    if not unheard(e) and rate != e.rate * speed:
        told.append(f"the sounds are played at {rate:.0f} Hz instead of {e.rate * speed:.8g} Hz")
    return told


def players(explanations: Sequence[Explanation]) -> list[dict[str, Any]]:
    """Players by kind; the original once, the others once per explanation."""
    if any(map(unheard, explanations)):
        return []
    made = sounds(explanations)
    order = channel_order(explanations)[:SHOWN_CHANNELS]
    return [
        {
            "title": TITLES[kind],
            "meaning": MEANINGS[kind],
            "gain": made[0][kind].gain_db,
            "clips": [
                clip
                for one, e in zip(made, explanations, strict=True)
                if kind != "original" or e is explanations[0]
                for clip in _clips(one[kind], e, order, len(explanations) > 1)
            ],
        }
        for kind in ORDER
    ]


def _clips(sound: Sound, e: Explanation, order: list[int], several: bool) -> list[dict[str, Any]]:
    """One player; more than two channels, which loudspeakers would mix, get one each."""
    if sound.samples.ndim == 1 or sound.samples.shape[1] == 2:
        return [_clip(sound, f"“{e.label}”")]
    parts = [replace(sound, samples=sound.samples[:, c]) for c in order]
    names = [e.channels[c].channel_names[0] for c in order]
    of = f", “{e.label}”" if several and sound.kind != "original" else ""
    return [_clip(part, name + of) for part, name in zip(parts, names, strict=True)]


def _clip(sound: Sound, name: str) -> dict[str, Any]:
    """One player; a silent sound gets none."""
    silent = not np.any(sound.samples)
    uri = "" if silent else _data_uri("audio/wav", sound.wav("PCM_16"))
    return {"name": name, "silent": silent, "uri": uri}


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
