"""Part of drill."""
