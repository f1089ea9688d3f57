"""The questions that users ask: `attribute` for arrays, `predict`, and `explain` for a recording.

In come a model and arrays or a recording, with keyword arguments; out go an `Attribution`, or an
`Explanation` in every domain that was asked for.  Here a recording is read, resampled and fitted
to the model, what the user left open is decided, and relevance moves between domains.  This room
must never know how relevance is computed, nor how a result is drawn.
"""
