"""Reporting: tables as pure functions of a folder of records. Nothing here trains, downloads or knows a model.

Order of reading: ``aggregate`` (records into cells, with the refusal to mix specs), ``notes`` (what a reader must know
about cells), ``tables`` (the frame of the main table, and the files), ``parameters`` (the frame of trained parameters),
``sheet`` (a frame as it is shown), and one renderer each: ``markdown``, ``latex``, ``terminal``.
"""
