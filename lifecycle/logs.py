"""Log lines: structlog, JSON when nobody is watching, pleasant at a terminal. Set up once, by a composition root."""

import logging
import sys

import structlog


def configure(process: str, *, verbose: bool = False, quiet: bool = False) -> None:
    """Send structlog's and the standard library's lines to stderr, each with the process's name.

    `verbose` adds what libraries say; `quiet` leaves only warnings, for commands that print facts.
    """
    terminal = sys.stderr.isatty()

    def named(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {"process": process, **event}  # not a context variable: those do not reach other threads

    shared: list[structlog.typing.Processor] = [
        named,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO if verbose else logging.WARNING)
    for package in ("evenkeel", "lifecycle", "service", "monitoring", "retrain"):
        logging.getLogger(package).setLevel(logging.WARNING if quiet else logging.INFO)
