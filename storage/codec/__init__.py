"""Values as bytes: `tagged`, the stored form that gives back equal values of the same types;
`strict`, plain JSON for what is searched inside a database; `clients`, JSON for people and programs
outside.
"""

from .clients import as_json, to_json
from .strict import encode_json
from .tagged import decode, encode, kept
from .types import Types
from .walk import INT_MAX, MAX_DEPTH, Unstorable

__all__ = [
    "INT_MAX",
    "MAX_DEPTH",
    "Types",
    "Unstorable",
    "as_json",
    "decode",
    "encode",
    "encode_json",
    "kept",
    "to_json",
]
