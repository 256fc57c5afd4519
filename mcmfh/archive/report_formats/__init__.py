"""Report formats, one module each: bytes or text → the reports in them, or a refusal with a reason.

The parsers read neither files nor the network, so that any transport can call them. Each offers `recognises` and
`parse`; `mcmfh.archive.reports` asks them in turn.
"""
