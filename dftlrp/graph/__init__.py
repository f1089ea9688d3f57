"""From the bytes of an ONNX file to a validated graph of plain nodes.

In comes a file that somebody else wrote, and perhaps the declaration of a front end; out goes a
`Graph` whose nodes have one output each, with functions and constant branches written out, or one
line that says why the file is refused.  This room must never know a rule, a map or a value that
depends on a signal: it decides what the file says, not what is computed or explained.
"""
