"""The files that recordings come in: what each holds, and how its numbers are read in stretches.

A format is a row of `dftlrp.attribution.formats.table.FORMATS`: how a file of it is known, and a
function from a `Source` to `Contents`.  Everything else (which channels, whether the numbers are
finite, the hash, the rate) is the same for all and lies in `dftlrp.attribution.recording`.
"""
