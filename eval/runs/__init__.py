"""TREC run files: writing, reading, checking and packaging them."""
