"""Types of the figures in results, with the ranges that are checked when a result is read."""

from typing import Annotated

from pydantic import Field

#: A metric or another share, from 0 to 1.
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
#: A number of things, at least 0.
Count = Annotated[int, Field(ge=0)]
#: A measurement such as a duration, at least 0.
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
#: A score of any sign.
Score = Annotated[float, Field(allow_inf_nan=False)]
