"""Builds container images without Docker: layers are plain tars, made here and pushed over HTTP."""
