"""The server store: collections on a Qdrant server, or in memory, through ``qdrant_client``."""
