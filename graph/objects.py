"""Objects as the values that they are made of: how instances of attrs classes, dataclasses,
Pydantic models and named tuples are taken apart, put together and copied.

Nothing of the object's own class is called for that: neither its constructor nor its validators.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import Enum
from types import BuiltinFunctionType, MemberDescriptorType
from typing import Any, Final

import attrs

__all__ = ["Form", "adopt", "form_of", "is_pydantic"]

Copying = Callable[[Any], Any]
Default = Callable[[Any], Any]  # from the object under construction to a field's value

_MISSING: Final = object()
_FACTORY: Any = type(attrs.Factory(list))
_CACHED_HASH: Final = "_attrs_cached_hash"
_ORIGIN: Final = "__orig_class__"  # left by the call of a generic class with its parameters


class Form(ABC):
    """What the objects of a class are made of.

    `fields`: by name, those that an object has set. `details`: what else it holds, as plain values
    by name; empty for most objects.
    """

    def __init__(self, kind: type, names: Mapping[str, Any]) -> None:
        self.kind: Any = kind
        self.names = names

    @abstractmethod
    def taken_apart(self, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Fields and details. Raises ValueError for an object that holds more than these."""

    @abstractmethod
    def made(self, fields: Mapping[str, Any], details: Mapping[str, Any]) -> Any:
        """The object again. A field that is not given has its default.

        Raises ValueError for a field that the class does not have, and for one that is not given
        and has no default.
        """

    @abstractmethod
    def copied(self, value: Any, copied: Copying) -> Any:
        """Another such object, each of its fields `copied`."""

    def _check_known(self, fields: Mapping[str, Any]) -> None:
        for name in fields:
            if name not in self.names:
                raise ValueError(f"{self._shown} has no field {name!r}, which the stored one has")

    def _lacking(self, name: str) -> ValueError:
        return ValueError(
            f"{self._shown} has a field {name!r} without a default, which the stored one has not"
        )

    @property
    def _shown(self) -> str:
        return f"{self.kind.__module__}.{self.kind.__qualname__}"

    def _refuse_strays(self, value: Any) -> None:
        """What is no field would be lost; but for what can be computed again."""
        for name in getattr(value, "__dict__", ()):
            if name not in self.names and name != _ORIGIN:
                declared = getattr(self.kind, name, None)
                if not isinstance(declared, functools.cached_property):
                    raise ValueError(f"its attribute {name!r} is no field of {self._shown}")


class _FieldForm(Form):
    """Of an attrs class or a dataclass. `names`: with the default of each, if it has one."""

    names: Mapping[str, Default | None]

    def __init__(self, kind: type, names: Mapping[str, Default | None]) -> None:
        super().__init__(kind, names)
        self._slots = [
            slot
            for base in kind.__mro__
            for slot in vars(base).values()
            if isinstance(slot, MemberDescriptorType)
        ]

    def taken_apart(self, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._refuse_strays(value)
        fields = {
            name: item
            for name in self.names
            if (item := getattr(value, name, _MISSING)) is not _MISSING
        }
        if len(fields) == len(self.names):
            return fields, {}
        return fields, {"unset": [name for name in self.names if name not in fields]}

    def made(self, fields: Mapping[str, Any], details: Mapping[str, Any]) -> Any:
        self._check_known(fields)
        made = object.__new__(self.kind)
        for name, default in self.names.items():
            if name in fields:
                object.__setattr__(made, name, fields[name])
            elif name in details.get("unset", ()):
                continue
            elif default is None:
                raise self._lacking(name)
            else:
                object.__setattr__(made, name, default(made))
        if hasattr(self.kind, _CACHED_HASH):
            object.__setattr__(made, _CACHED_HASH, None)
        return made

    def copied(self, value: Any, copied: Copying) -> Any:
        made = object.__new__(self.kind)
        if (held := getattr(value, "__dict__", None)) is not None:
            for name, item in held.items():
                made.__dict__[name] = copied(item) if name in self.names else item
        for slot in self._slots:
            try:
                item = slot.__get__(value)
            except AttributeError:  # nothing in it
                continue
            slot.__set__(made, copied(item) if slot.__name__ in self.names else item)
        return made


class _PydanticForm(Form):
    """Of a Pydantic model, whose instances hold four dictionaries."""

    def __init__(self, kind: Any) -> None:
        super().__init__(kind, kind.model_fields)
        self._takes_more = kind.model_config.get("extra") == "allow"

    def taken_apart(self, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._refuse_strays(value)
        held = value.__dict__
        fields = {name: held[name] for name in self.names if name in held}
        details: dict[str, Any] = {}
        if value.__pydantic_fields_set__ != fields.keys():
            details["set"] = sorted(value.__pydantic_fields_set__)
        if value.__pydantic_extra__:
            details["extra"] = dict(value.__pydantic_extra__)
        if value.__pydantic_private__:
            details["private"] = dict(value.__pydantic_private__)
        if len(fields) != len(self.names):
            details["unset"] = [name for name in self.names if name not in fields]
        return fields, details

    def made(self, fields: Mapping[str, Any], details: Mapping[str, Any]) -> Any:
        more = {**details.get("extra", {})}
        if self._takes_more:
            more |= {name: item for name, item in fields.items() if name not in self.names}
        else:
            self._check_known({**fields, **more})
        held: dict[str, Any] = {}
        for name, field in self.names.items():
            if name in fields:
                held[name] = fields[name]
            elif name in details.get("unset", ()):
                continue
            elif field.is_required():
                raise self._lacking(name)
            else:
                held[name] = _pydantic_default(field, held)
        private = None
        if attributes := self.kind.__private_attributes__:
            defaults = {name: _pydantic_default(of, held) for name, of in attributes.items()}
            private = {name: item for name, item in defaults.items() if _is_defined(item)}
            private |= details.get("private", {})
        was_set = set(details.get("set", fields))
        return self._assembled(held, was_set, more if self._takes_more else None, private)

    def copied(self, value: Any, copied: Copying) -> Any:
        extra, private = value.__pydantic_extra__, value.__pydantic_private__
        return self._assembled(
            {name: copied(item) for name, item in value.__dict__.items()},
            set(value.__pydantic_fields_set__),
            None if extra is None else {name: copied(item) for name, item in extra.items()},
            None if private is None else {name: copied(item) for name, item in private.items()},
        )

    def _assembled(
        self,
        held: dict[str, Any],
        was_set: set[str],
        extra: dict[str, Any] | None,
        private: dict[str, Any] | None,
    ) -> Any:
        made = object.__new__(self.kind)
        object.__setattr__(made, "__dict__", held)
        object.__setattr__(made, "__pydantic_fields_set__", was_set)
        object.__setattr__(made, "__pydantic_extra__", extra)
        object.__setattr__(made, "__pydantic_private__", private)
        return made


class _TupleForm(Form):
    """Of a named tuple."""

    def __init__(self, kind: Any) -> None:
        super().__init__(kind, dict.fromkeys(kind._fields))

    def taken_apart(self, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._refuse_strays(value)
        return dict(zip(self.names, value, strict=True)), {}

    def made(self, fields: Mapping[str, Any], details: Mapping[str, Any]) -> Any:
        self._check_known(fields)
        given = {**self.kind._field_defaults, **fields}
        for name in self.names:
            if name not in given:
                raise self._lacking(name)
        return tuple.__new__(self.kind, [given[name] for name in self.names])

    def copied(self, value: Any, copied: Copying) -> Any:
        return tuple.__new__(self.kind, [copied(item) for item in value])


_adopted: Final[dict[type, Form]] = {}


def adopt(kind: type, names: Mapping[str, Default | None]) -> None:
    """Take the objects of a plain class as made of the attributes `names`, each with its default
    if it has one."""
    _adopted[kind] = _FieldForm(kind, names)
    form_of.cache_clear()  # type: ignore[attr-defined]


def _form_of(kind: type) -> Form | None:
    """The form of a class; None for one whose objects are not, or not only, made of fields."""
    if kind in _adopted:
        return _adopted[kind]
    if is_pydantic(kind):
        return _PydanticForm(kind)
    # A dict, a string, an exception holds more than its fields.
    of_c = [
        base
        for base in kind.__mro__
        if base is not object and isinstance(vars(base).get("__new__"), BuiltinFunctionType)
    ]
    if of_c == [tuple] and isinstance(getattr(kind, "_field_defaults", None), dict):
        return _TupleForm(kind)
    if of_c or issubclass(kind, Enum):
        return None
    if attrs.has(kind):
        return _FieldForm(kind, {field.name: _attrs_default(field) for field in attrs.fields(kind)})
    if dataclasses.is_dataclass(kind):
        return _FieldForm(kind, {f.name: _dataclass_default(f) for f in dataclasses.fields(kind)})
    return None


# As an annotation has it, because mypy takes no class for something to be hashed.
form_of: Callable[[type], Form | None] = functools.lru_cache(maxsize=1024)(_form_of)


def is_pydantic(kind: Any) -> bool:
    return isinstance(getattr(kind, "__pydantic_fields__", None), dict) and hasattr(
        kind, "model_fields_set"
    )


def _attrs_default(field: attrs.Attribute[Any]) -> Default | None:
    default: Any = field.default
    if isinstance(default, _FACTORY):
        return default.factory if default.takes_self else lambda _: default.factory()
    return None if default is attrs.NOTHING else lambda _: default


def _dataclass_default(field: dataclasses.Field[Any]) -> Default | None:
    factory, default = field.default_factory, field.default
    if factory is not dataclasses.MISSING:
        return lambda _: factory()
    return None if default is dataclasses.MISSING else lambda _: default


def _pydantic_default(field: Any, held: Mapping[str, Any]) -> Any:
    """Of a field or a private attribute. `held`: the fields before it."""
    if field.default_factory is None:
        return copy.deepcopy(field.default)
    if getattr(field, "default_factory_takes_validated_data", False):
        return field.default_factory(dict(held))
    return field.default_factory()


def _is_defined(value: Any) -> bool:
    return type(value).__name__ != "PydanticUndefinedType"
