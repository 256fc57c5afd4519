"""What numba lacks: three machine instructions, and functions whose calls cost nothing."""

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic as numba_intrinsic

# Emits the instructions of one call: (context, builder, signature, arguments) → LLVM value.
Codegen = Callable[[Any, Any, Any, Any], Any]


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba's decorator, typed as what the caller sees: the typing context is filled in by the compiler."""
    decorated: Callable[..., Any] = numba_intrinsic(function)
    return decorated


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is inlined into each kernel that calls it; it must not allocate or slice arrays.

    Without `_nrt=False` numba counts references to every array argument, two locked instructions a call: four times
    the whole time of a short query.
    """
    options: dict[str, Any] = {"_nrt": False, "forceinline": True}
    decorated: Callable[..., Any] = njit(**options)(function)
    return decorated


def allocating_part(function: Callable[..., Any]) -> Callable[..., Any]:
    """An inlined function that may allocate arrays; to be called outside loops."""
    return njit(forceinline=True)(function)


@intrinsic
def popcount(typing_context: Any, x: Any) -> tuple[Any, Codegen]:
    """Number of one bits in an unsigned integer, in its own type (uint8 would overflow above 255: use wider)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return x(x), codegen


@intrinsic
def trailing_zeros(typing_context: Any, x: Any) -> tuple[Any, Codegen]:
    """Position of the lowest one bit of an unsigned integer, in its own type; undefined for 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return x(x), codegen


@intrinsic
def prefetch(typing_context: Any, array: Any, index: Any) -> tuple[Any, Codegen]:
    """Prefetch array[index] of a one-dimensional array into the cache; any index is harmless: nothing is read."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        int32 = ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), int32, int32, int32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [ir.IntType(8).as_pointer()], function_type)
        builder.call(function, [address, *(ir.Constant(int32, n) for n in (0, 3, 1))])  # read, keep, data cache
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


def compiled(function: Callable[..., Any], signature: Any) -> Callable[..., Any]:
    """The machine code of a kernel for one signature, made now or taken from numba's cache, and called directly.

    It is made when an engine is built, so that importing costs nothing and an index compiles only what it runs. Calls
    skip numba's check of each argument, which takes a quarter of a whole query; the caller must pass the right types.
    numba's cache notices changes of the kernel's own file only: after editing a `part` in another file, delete
    __pycache__.
    """
    kernel = _kernel(function, signature)
    entry_point: Callable[..., Any] = kernel.overloads[kernel.signatures[0]].entry_point
    return entry_point


@cache
def _kernel(function: Callable[..., Any], signature: Any) -> Any:
    return njit(signature, nogil=True, cache=True)(function)
