"""Searching a snapshot, with neither HTTP nor Ray.

The path of a query, from HTTP to the Hamming index: the route `search` (serving/application) reads a request's body
into a `Query` (serving/queries.read_query). `Replica.search_answer` (serving/replica) computes its logits in a pass of
the encoder that waiting queries share (serving/encoding, search/batching), and passes both to `Retrieval.answer`
(retrieval). `Retrieval.answer` packs the signs of the logits into codes and asks its `Source` for hits (source):
`LocalSource` is a snapshot mapped in this process; `ShardedSource` (sharding) merges the hits of its parts.
`LocalSource.hits` calls `nearest_hits` (nearest). It turns `where` into a mask of rows (masks) and calls
`HammingIndex.search` (mcmfh/hamming); for a query of two codes it scans all codes instead (scan). `Retrieval.answer`
then re-ranks on request, reads the columns of the hits (mapped) and adds the precision of each distance (precision).
"""
