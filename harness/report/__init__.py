"""Renderers: a stored run in, text out."""
