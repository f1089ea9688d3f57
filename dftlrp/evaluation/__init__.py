"""Whether an explanation is right: experiments on the model, and measures that need none.

In come explanations (or arrays of relevance), scores of a model and recordings; out go numbers with
their standard errors, tables and a page.  `metrics` holds the measures, each a function of arrays,
`evaluate` the comparison of several explanations over a data set.  This room must never know how
relevance is computed: it asks `dftlrp.explain` by its public arguments, and a model for its output.
"""

from dftlrp.evaluation import metrics

__all__ = ["metrics"]
