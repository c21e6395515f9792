"""What storage may fail with, whatever it does."""

from __future__ import annotations

__all__ = ["StorageError"]


class StorageError(Exception):
    """The store could not do what it was asked; nothing was changed."""
