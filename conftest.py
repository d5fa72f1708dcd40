"""What the scenarios share and the plugin does not give."""

from __future__ import annotations
