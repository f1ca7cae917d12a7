"""Arguments that mean the same in many commands, each declared once. Which host is meant is told to door.py."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Program = Annotated[str, Parameter(help="The program's id.")]
AnyProgram = Annotated[str, Parameter(help="The program's id; left out: all of them.")]
Developer = Annotated[str, Parameter(help="Id or name.")]
UserId = Annotated[str, Parameter(help="The user's id, as the platform has it.")]
After = Annotated[str, Parameter(help="Only those behind this one: to go on with a list.")]
