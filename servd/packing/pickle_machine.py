"""A machine that runs a pickle's opcodes on names instead of objects. Used by pickle_scan.py.

Nothing is imported, made or called: a class is its module and name, an object is its class with
what it was given. Formats: Python's pickletools; the raw arrays of joblib between the opcodes, as
joblib's NumpyArrayWrapper writes them (padding to its alignment, then the array's bytes; an array
of objects is a pickle of its own).
"""

import io
import pickletools
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

_LONG: Final = 1 << 16
"""Longer texts and bytes are skipped: no name is so long."""
_SKIP: Final = 1 << 20
_MAX_DEPTH: Final = 50
_LENGTHS: Final = {
    **dict.fromkeys(("BINSTRING", "BINBYTES", "BINUNICODE"), "<I"),
    **dict.fromkeys(("BINBYTES8", "BINUNICODE8", "BYTEARRAY8"), "<Q"),
}
_DTYPE: Final = re.compile(r"[<>|=]?([a-zA-Z?])(\d*)")
_UNICODE_BYTES: Final = 4
_MARK: Final = object()


class BrokenPickleError(Exception):
    """The opcodes end too early, or there is something else between them."""


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function by its name."""

    module: str
    name: str


@dataclass(slots=True)
class Made:
    """An object: what makes it, with what, and the state it was given."""

    maker: Any
    given: Any
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def class_name(self) -> str:
        """The name of its class, or of the function that makes it."""
        maker = self.maker
        is_old = isinstance(maker, Global) and maker.name == "_reconstructor"
        if is_old and isinstance(self.given, tuple) and self.given:
            maker = self.given[0]  # protocols 0 and 1 have no opcode that makes an instance
        return maker.name if isinstance(maker, Global) else ""


class Machine:
    """Runs opcodes from a file, and tells of names and of values that follow a text.

    Args:
        file: positioned at the first opcode.
        on_global: called with each Global.
        on_item: called with each text on the stack and the value that is put there next, as a key
            and its value are: what an object says of itself comes before what its parts say.
        max_steps: how many opcodes are run at most.
    """

    def __init__(
        self,
        file: BinaryIO,
        on_global: Callable[[Global], None],
        on_item: Callable[[str, Any], None],
        max_steps: int,
    ) -> None:
        self._file = file
        self._on_global = on_global
        self._on_item = on_item
        self._left = max_steps
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._key = ""
        self.protocol = 0
        self.steps = 0
        self.is_python2 = False
        self.code: bytes | None = None

    def run(self, depth: int = 0) -> None:
        """Run until the end.

        Raises:
            BrokenPickleError: it has none, or is too long.
        """
        if depth > _MAX_DEPTH:
            raise BrokenPickleError("pickles in pickles in pickles")
        try:
            while self._step(depth) != "STOP":
                self.steps += 1
                self._left -= 1
                if self._left <= 0:
                    raise BrokenPickleError("more opcodes than are looked at")
            self.steps += 1
        except (ValueError, KeyError, IndexError, OverflowError, TypeError, struct.error) as error:
            raise BrokenPickleError(str(error)) from error

    def _step(self, depth: int) -> str:
        code = pickletools.code2op.get(self._file.read(1).decode("latin-1"))  # type: ignore[attr-defined]
        if code is None:
            raise BrokenPickleError("no opcode")
        name: str = code.name
        argument = self._argument(code)
        act = _ACTIONS.get(name)
        if act is not None:
            act(self, argument)
        else:
            self._on_value(name, code, argument)
        if name == "BUILD":
            self._skip_array(depth)
        return name

    def _argument(self, code: Any) -> Any:
        """Return an opcode's argument; None for bytes and texts that are too long to be names."""
        length_format = _LENGTHS.get(code.name)
        if length_format is None:
            return code.arg.reader(self._file) if code.arg is not None else None
        (length,) = struct.unpack(length_format, self._file.read(struct.calcsize(length_format)))
        if length > _LONG:
            self._skip(length)
            return b"" if "BYTE" in code.name else ""
        content = self._file.read(length)
        if len(content) < length:
            raise BrokenPickleError("a text is cut")
        if code.name == "BINSTRING":
            return content.decode("latin-1")  # as pickletools reads the short ones
        return content.decode("utf-8", "replace") if "UNICODE" in code.name else content

    def _skip(self, length: int) -> None:
        while length > 0:
            read = len(self._file.read(min(length, _SKIP)))
            if not read:
                raise BrokenPickleError("an array is cut")
            length -= read

    def _on_value(self, name: str, code: Any, argument: Any) -> None:
        """Do what pickletools says of an opcode that nothing else is known of."""
        if name in ("STRING", "BINSTRING", "SHORT_BINSTRING"):
            self.is_python2 = True  # only Python 2 writes them
        for kind in reversed(code.stack_before):
            if kind is pickletools.stackslice:
                self.pop_slice()
            elif kind is not pickletools.markobject:
                self._stack.pop()
        for _ in code.stack_after:
            self.push(argument)

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        if self._key:
            self._on_item(self._key, value)
        self._key = value if isinstance(value, str) else ""
        self._stack.append(value)

    def drop(self) -> None:
        """Take the top of the stack away."""
        self._stack.pop()

    def _on_dup(self, _argument: Any) -> None:
        self.push(self._stack[-1])

    def pop_slice(self) -> list[Any]:
        """Pop what lies above the last mark, and the mark."""
        values = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        values.reverse()
        return values

    def _name(self, found: Global) -> None:
        self._on_global(found)
        self.push(found)

    def _on_proto(self, argument: Any) -> None:
        self.protocol = self.protocol or argument

    def _on_stack_global(self, _argument: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._name(Global(str(module), str(name)))

    def _on_global_opcode(self, argument: Any) -> None:
        module, _, name = argument.partition(" ")
        self._name(Global(module, name))

    def _on_inst(self, argument: Any) -> None:
        given = self.pop_slice()
        self._on_global_opcode(argument)
        self.push(Made(self._stack.pop(), tuple(given)))

    def _on_obj(self, _argument: Any) -> None:
        maker, *given = self.pop_slice()
        self.push(Made(maker, tuple(given)))

    def _on_reduce(self, _argument: Any) -> None:
        given, maker = self._stack.pop(), self._stack.pop()
        is_code = isinstance(maker, Made) and maker.given == ("CodeType",)
        is_code = is_code or (isinstance(maker, Global) and maker.name == "CodeType")
        if is_code and self.code is None and isinstance(given, tuple):
            # Of a function that is in the pickle itself, as cloudpickle does.
            self.code = next((part for part in given if isinstance(part, bytes)), None)
        self.push(Made(maker, given))

    def _on_newobj_ex(self, _argument: Any) -> None:
        self._stack.pop()
        self._on_reduce(None)

    def _on_build(self, _argument: Any) -> None:
        state, made = self._stack.pop(), self._stack[-1]
        if isinstance(made, Made) and isinstance(state, dict):
            made.state = state

    def _on_setitem(self, _argument: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        _set(self._stack[-1], [key, value])

    def _on_setitems(self, _argument: Any) -> None:
        pairs = self.pop_slice()
        _set(self._stack[-1], pairs)

    def _on_dict(self, _argument: Any) -> None:
        made: dict[str, Any] = {}
        _set(made, self.pop_slice())
        self.push(made)

    def _on_put(self, argument: Any) -> None:
        self._memo[int(argument)] = self._stack[-1]

    def _on_memoize(self, _argument: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _on_get(self, argument: Any) -> None:
        self.push(self._memo[int(argument)])

    def _tuple(self, count: int) -> None:
        values = self._stack[-count:]
        del self._stack[-count:]
        self.push(tuple(values))

    def _skip_array(self, depth: int) -> None:
        """Skip the array that follows where joblib has announced one."""
        wrapper = self._stack[-1]
        if not isinstance(wrapper, Made) or wrapper.class_name != "NumpyArrayWrapper":
            return
        size = _array_bytes(wrapper.state)
        if size is None:
            self._run_inner(depth)
            return
        if wrapper.state.get("numpy_array_alignment_bytes") is not None:
            self._skip(self._file.read(1)[0])
        self._skip(size)

    def _run_inner(self, depth: int) -> None:
        """Run the pickle that an array of objects is."""
        stack, memo = self._stack, self._memo
        self._stack, self._memo = [], {}
        self.run(depth + 1)
        self._stack, self._memo = stack, memo


def _set(target: Any, pairs: list[Any]) -> None:
    if isinstance(target, dict):
        pairs_of = zip(pairs[::2], pairs[1::2], strict=False)
        target.update((key, value) for key, value in pairs_of if isinstance(key, str))


def _array_bytes(state: dict[str, Any]) -> int | None:
    """Return the bytes of a raw array; None for one of objects, which is a pickle.

    Raises:
        BrokenPickleError: its wrapper does not tell.
    """
    dtype, shape = state.get("dtype"), state.get("shape")
    given = dtype.given if isinstance(dtype, Made) else None
    code = given[0] if isinstance(given, tuple) and given else None
    found = _DTYPE.fullmatch(code) if isinstance(code, str) else None
    if found is None or not isinstance(shape, tuple):
        raise BrokenPickleError("an array of unknown size")
    if found[1] == "O":
        return None
    size = int(found[2] or 1) * (_UNICODE_BYTES if found[1] == "U" else 1)
    for length in shape:
        size *= int(length)
    return size


def run(
    content: bytes | BinaryIO,
    on_global: Callable[[Global], None],
    on_item: Callable[[str, Any], None],
    max_steps: int,
) -> tuple[Machine, bool]:
    """Run a pickle; return the machine, and whether it came to the end."""
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    machine = Machine(file, on_global, on_item, max_steps)
    try:
        machine.run()
    except BrokenPickleError:
        return machine, False
    return machine, True


def _pushing(make: Callable[[], Any]) -> Callable[[Machine, Any], None]:
    return lambda machine, _argument: machine.push(make())


def _popping(machine: Machine, _argument: Any) -> None:
    machine.pop_slice()


_ACTIONS: Final[dict[str, Callable[[Machine, Any], None]]] = {
    "PROTO": Machine._on_proto,  # noqa: SLF001 - a table of its own methods
    "MARK": _pushing(lambda: _MARK),
    "NONE": _pushing(lambda: None),
    "EMPTY_DICT": _pushing(dict),
    "EMPTY_TUPLE": _pushing(tuple),
    "TUPLE1": lambda machine, _: machine._tuple(1),  # noqa: SLF001
    "TUPLE2": lambda machine, _: machine._tuple(2),  # noqa: SLF001
    "TUPLE3": lambda machine, _: machine._tuple(3),  # noqa: SLF001
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_slice())),
    **dict.fromkeys(("APPENDS", "ADDITEMS", "POP_MARK"), _popping),
    "POP": lambda machine, _: machine.drop(),
    "DUP": Machine._on_dup,  # noqa: SLF001
    "DICT": Machine._on_dict,  # noqa: SLF001
    "SETITEM": Machine._on_setitem,  # noqa: SLF001
    "SETITEMS": Machine._on_setitems,  # noqa: SLF001
    "GLOBAL": Machine._on_global_opcode,  # noqa: SLF001
    "STACK_GLOBAL": Machine._on_stack_global,  # noqa: SLF001
    "INST": Machine._on_inst,  # noqa: SLF001
    "OBJ": Machine._on_obj,  # noqa: SLF001
    "REDUCE": Machine._on_reduce,  # noqa: SLF001
    "NEWOBJ": Machine._on_reduce,  # noqa: SLF001
    "NEWOBJ_EX": Machine._on_newobj_ex,  # noqa: SLF001
    "BUILD": Machine._on_build,  # noqa: SLF001
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine._on_put),  # noqa: SLF001
    "MEMOIZE": Machine._on_memoize,  # noqa: SLF001
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._on_get),  # noqa: SLF001
}
"""What each opcode does; the others push and pop as pickletools says."""
