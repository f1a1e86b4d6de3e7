"""Every error Evenkeel raises on purpose, named for what the caller can do about it.

EvenkeelError
├── InputRejected        the caller's input breaks the contract: correct it and send it again
├── ConfigInvalid        evenkeel.toml or the environment: correct the named key
├── ProjectInvalid       the project folder lacks or contradicts something: run the command it names
├── ModelUnavailable     no model can answer now: promote or re-register one
│   └── ArtefactRejected a stored version fails its digest, contract or golden rows: never loaded
├── StoreUnavailable     ledger, feature log or model store cannot be reached: retry later
└── Conflict             somebody else holds the lease, or the pointer has moved: look again
"""

from dataclasses import dataclass


class EvenkeelError(Exception):
    """The common root; its text is one sentence: what was asked, what was found, what to do next."""


@dataclass(frozen=True)
class Problem:
    """One broken promise in a request: which row (0-based, None for the whole), which field, and what is wrong."""

    row: int | None
    field: str | None
    problem: str


class InputRejected(EvenkeelError):
    """The caller's rows break the contract; `problems` says where, at most the first hundred."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class ConfigInvalid(EvenkeelError):
    """A configuration key is unknown, mistyped or out of range."""


class ProjectInvalid(EvenkeelError):
    """The project folder cannot be used as it is."""


class ModelUnavailable(EvenkeelError):
    """No model version can answer at the moment."""


class ArtefactRejected(ModelUnavailable):
    """A version in the model store is not what was registered, so it was not loaded."""


class StoreUnavailable(EvenkeelError):
    """A store cannot be read or written at the moment."""


class Conflict(EvenkeelError):
    """The state changed underneath: a lease is held elsewhere, or the pointer has moved."""
