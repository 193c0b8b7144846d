"""What the networks' arguments may be: a file that names a network may ask for anything, so it is checked first.

The annotations of a network's constructor are the record. Those here hold bounds as well: none is near what anyone
trains, and the largest network they allow is built without numbers in a second.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

Channels = Annotated[int, Field(ge=1, le=4096)]
Depth = Annotated[int, Field(ge=0, le=64)]
"""How many blocks or layers stand in a row."""
Kernel = Annotated[int, Field(ge=1, le=31)]
Disparity = Annotated[int, Field(ge=0, le=4096)]
"""Columns that a correlation looks either way."""
Slope = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]

PLAIN = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)


def check(maker: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Compare with the annotations of `maker`, strictly: true is no number and a text none, but a list is a tuple.

    Raises TypeError for a name it does not take, or for one that it needs, and ValueError for a value.
    """
    signature = inspect.signature(maker, eval_str=True)
    signature.bind(**arguments)
    for name, value in arguments.items():
        parameter = signature.parameters.get(name)
        if parameter is None or parameter.annotation is parameter.empty:
            continue
        try:
            # As JSON, in which they are kept and in which lists and tuples are one.
            TypeAdapter(parameter.annotation, config=PLAIN).validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"[{step}]" for step in first["loc"] if isinstance(step, int))
            raise ValueError(f"{name}{where} is not accepted: {first['msg']}") from None
