"""Which channels of a file are read, and whether they go together."""

from __future__ import annotations

from collections.abc import Sequence

from dftlrp.attribution.formats.contents import MOST_CHANNELS_READ, Channel, list_names
from dftlrp.core.types import InputError

SHIFTED = 0.5  # samples by which channels may start at different times


def pick_channels(channels: Sequence[Channel], chosen: Sequence[str]) -> list[int]:
    """Return the indices of channels by their names, or by their numbers where they have none."""
    if len(channels) > MOST_CHANNELS_READ:
        raise InputError(f"{len(channels)} channels are too many")
    if not chosen:
        return list(range(len(channels)))
    names = [channel.name or str(i + 1) for i, channel in enumerate(channels)]
    found = [_find_channel(names, name) for name in chosen]
    if repeated := {names[i] for i in found if found.count(i) > 1}:
        raise InputError(f"channel {min(repeated)!r} is chosen twice")
    return found


def _find_channel(names: Sequence[str], name: str) -> int:
    """Return the index of a channel, whatever its case where only one differs in nothing else."""
    same = [i for i, own in enumerate(names) if own == name]
    alike = [i for i, own in enumerate(names) if own.casefold() == name.casefold()]
    found = same or alike
    if len(found) != 1:
        why = f"{len(found)} channels are called {name!r}" if found else f"no channel {name!r}"
        raise InputError(f"{why}: it has {list_names(names)}")
    return found[0]


def refuse_apart(channels: Sequence[Channel]) -> None:
    """Refuse channels of different rates, lengths or starts, and such without samples."""
    first, *others = channels
    hint = "choose those that go together (--channels, channels=)"
    for other in others:
        if other.rate != first.rate:
            raise InputError(f"{_tell_rate(first)}, {_tell_rate(other)}: {hint}")
        if other.frames != first.frames:
            raise InputError(
                f"signals of different length: {first.name!r} has {first.frames} samples, "
                f"{other.name!r} {other.frames}: {hint}"
            )
        if first.rate and abs(late := other.start - first.start) * first.rate > SHIFTED:
            raise InputError(
                f"{other.name!r} starts {late:g} s after {first.name!r}: cut them to the time they "
                "share"
            )
    if not first.frames:
        raise InputError("holds no samples")


def _tell_rate(channel: Channel) -> str:
    return f"{channel.name!r} is at {channel.rate or 0:g} Hz"
