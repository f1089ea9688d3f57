"""Work over a whole data set, shard by shard: on any machines, killed at any moment, resumed.

`run` computes the shards that a `Store` does not hold yet.  What a shard is and what comes of one
is the caller's; so is merging the results, in the order of the shards.
"""

from dftlrp.concepts.shards.run import run
from dftlrp.concepts.shards.store import Store, open_store
from dftlrp.concepts.shards.task import THREADS, Failure

__all__ = ["THREADS", "Failure", "Store", "open_store", "run"]
