"""The embedded store: collections in a folder, with Qdrant's engine as a library."""
