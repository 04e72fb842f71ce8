"""What every section of the settings shares."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen group of settings. Unit in the name (`_seconds`, `_bytes`) wherever a number has one.

    Numbers are finite: a NaN is neither above nor below any limit, so no later check would see it.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
