"""GLUE: what is measured, and on what.

Order of reading: ``tasks`` (the eight tasks as data), ``metrics`` (their scores), ``sources`` (rows from the
hub or from a directory, by way of ``hub``, ``directory`` and ``arrow`` into ``rows``), ``encoding`` (rows to
token ids, cached on disk), ``batches`` (token ids to padded tensors).
"""
