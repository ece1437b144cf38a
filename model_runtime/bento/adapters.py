"""What an API takes, by the names of BentoML 0.13. An instance says so; it converts nothing.

`input_type` is the input type of the model that the API becomes (model_runtime/protocol.py), where
the input alone decides it. How a batch becomes the API's argument: model_runtime/loaders/bento.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from model_runtime.bento.exceptions import InvalidArgument
from model_runtime.older import zip

ORIENTS = ("records", "columns", "values", "split", "index")
"""The ways in which a table is written as JSON."""


class BaseInputAdapter:
    """What an API takes. `is_list`: it is always called with a list, whatever its `batch` says."""

    input_type: ClassVar[str] = "any"
    is_list: ClassVar[bool] = False

    def __init__(self, http_input_example: Any = None, **base_config: Any) -> None:
        self.http_input_example = http_input_example
        self._config = base_config

    @property
    def config(self) -> dict[str, Any]:
        """What a bundle keeps of it."""
        return dict(self._config)

    @property
    def pip_dependencies(self) -> list[str]:
        """The packages that an API with it needs."""
        return []


class JsonInput(BaseInputAdapter):
    """Any JSON value: one, or with batch=True a list of them."""


class StringInput(BaseInputAdapter):
    """A text: one, or with batch=True a list of them."""

    input_type = "strings"


class DataframeInput(BaseInputAdapter):
    """A table: one pandas DataFrame of all the rows that have come.

    Args:
        typ: "frame"; there is no other.
        orient: how inputs are written, one of `ORIENTS`; None: it is seen.
        columns: the names of the columns.
        dtype: types by the names of columns, or a list of them in the order of `columns`.
        input_dtypes: the same, by its older name.
    """

    is_list = True

    def __init__(
        self,
        typ: str = "frame",
        orient: str | None = None,
        columns: Sequence[str] | None = None,
        dtype: Mapping[Any, Any] | Sequence[Any] | None = None,
        input_dtypes: Mapping[Any, Any] | Sequence[Any] | None = None,
        **base_config: Any,
    ) -> None:
        super().__init__(**base_config)
        dtype = input_dtypes if dtype is None else dtype
        if typ != "frame":
            raise InvalidArgument(f"DataframeInput has typ='frame' only, not {typ!r}")
        if orient is not None and orient not in ORIENTS:
            raise InvalidArgument(f"orient is one of {', '.join(ORIENTS)}, not {orient!r}")
        if columns is not None and isinstance(dtype, Mapping) and set(dtype) != set(columns):
            raise InvalidArgument("dtype and columns name different columns")
        self.typ = typ
        self.orient = orient
        self.columns = None if columns is None else list(columns)
        self.dtype = _by_name(dtype, self.columns)

    @property
    def config(self) -> dict[str, Any]:
        """See BaseInputAdapter."""
        dtype = None if self.dtype is None else {n: _word(t) for n, t in self.dtype.items()}
        told = {"orient": self.orient, "typ": self.typ, "dtype": dtype}
        return super().config | told | ({"columns": self.columns} if self.columns else {})

    @property
    def pip_dependencies(self) -> list[str]:
        """See BaseInputAdapter."""
        return ["pandas"]


def _by_name(dtype: Any, columns: list[str] | None) -> dict[Any, Any] | None:
    """Return types by the names of columns; of columns without names by their places."""
    if dtype is None or isinstance(dtype, Mapping):
        return None if dtype is None else dict(dtype)
    if isinstance(dtype, str):
        raise InvalidArgument(f"dtype is a dict or a list, not {dtype!r}")
    return dict(enumerate(dtype)) if columns is None else dict(zip(columns, dtype, strict=True))


def _word(dtype: Any) -> str:
    """Return a type as a bundle keeps it: `float` and numpy's float64 are words."""
    return dtype if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))


class ClipperInput(BaseInputAdapter):
    """A list of Clipper's inputs."""

    is_list = True


class ClipperBytesInput(ClipperInput):
    """A list of bytes."""

    input_type = "bytes"


class ClipperIntsInput(ClipperInput):
    """A list of vectors of whole numbers."""

    input_type = "integers"


class ClipperFloatsInput(ClipperInput):
    """A list of vectors of numbers of 32 bits."""

    input_type = "floats"


class ClipperDoublesInput(ClipperInput):
    """A list of vectors of numbers of 64 bits."""

    input_type = "doubles"


class ClipperStringsInput(ClipperInput):
    """A list of texts."""

    input_type = "strings"


class BaseOutputAdapter:
    """What an API gives; servd sees that by itself."""

    def __init__(self, **base_config: Any) -> None:
        self._config = base_config

    @property
    def config(self) -> dict[str, Any]:
        """What a bundle keeps of it."""
        return dict(self._config)

    @property
    def pip_dependencies(self) -> list[str]:
        """The packages that an API with it needs."""
        return []


class DefaultOutput(BaseOutputAdapter):
    """Whatever it is."""


class JsonOutput(BaseOutputAdapter):
    """What has a form in JSON."""


class DataframeOutput(BaseOutputAdapter):
    """A pandas DataFrame, whose rows are the outputs."""
