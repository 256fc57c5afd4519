"""Who saw what, and when: records in chains that are keyed by a secret, so that no line can be changed or taken out.

Each process of an endpoint writes one chain (`chain`): every line holds the HMAC of itself and of the line before.
Lines are appended to a file of this machine (`writer`) before the answer is sent. Every few seconds the new ones
become a segment in the store, and the list of heads there (`heads`) says how far each chain goes. `reading` verifies
all of it.

    <archive>/audit/segments/<sha256>.jsonl     lines of one chain, named by their content
    <archive>/audit/heads/<block>/<number>.json one for each segment: chain, first and last line, MAC of the last,
                                                MAC of the head before, MAC of the head itself

What can be lost: nothing when a process dies, because the next one on the machine takes up the lines that it left. When
the machine loses power, at most the last second. When its disk is lost, at most `audit.seal_seconds`.

Items and studies stand in it as digests that are keyed by the secret: the audit is no second list of patients and holds
nothing of an item that was erased. Who has the secret and the archive reads them as the archive's own identifiers.
"""
