"""Work over a data set, shard by shard, on any machines; it may be killed and continued.

`run` computes the shards that a `Store` does not hold yet.  The caller defines what a shard is and
what its result is, and merges the results in the order of the shards.
"""

from dftlrp.concepts.shards.local import keep_workers
from dftlrp.concepts.shards.run import run
from dftlrp.concepts.shards.store import Store, open_store
from dftlrp.concepts.shards.task import THREADS, Failure, Workers

__all__ = ["THREADS", "Failure", "Store", "Workers", "keep_workers", "open_store", "run"]
