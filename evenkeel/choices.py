"""The closed sets that options of the command line choose from; light, so that `--help` stays quick."""

from typing import Literal

TaskChoice = Literal["auto", "binary", "multiclass", "regression"]
