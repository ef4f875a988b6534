"""Qdrant's engine in this process: collections in a folder."""
