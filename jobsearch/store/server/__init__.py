"""Collections on a Qdrant server, or in memory for small tests, through ``qdrant_client``."""
