"""Logs: one line per event, JSON for collectors or text for people.

Each line that is written while an object is reconciled, be it in a thread that calls a hypervisor or by a library, has kind,
namespace, name, the id of the reconcile, and that of the job under way.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from controller.runtime import scope

_TRACEBACK = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
"""Local variables may hold credentials: they never reach a log."""


def configure(level: str, form: str) -> FilteringBoundLogger:
    """Send logs to standard error, from `level` up, as `json` or `text`; returns the root logger.

    Libraries that use Python's `logging` are heard from WARNING up, in the same form.
    """
    least = logging.getLevelNamesMapping()[level.upper()]
    common: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_scope,
    ]
    rendered = _rendered(form)
    structlog.configure(
        processors=[*common, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[strip, *rendered], foreign_pre_chain=[structlog.stdlib.add_logger_name, *common]
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def add_scope(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Add what is being reconciled here; what the line says itself stays."""
    here = scope.current()
    if here is not None:
        for name, value in here.fields().items():
            line.setdefault(name, value)
    return line


def _rendered(form: str) -> list[Processor]:
    if form == "json":
        return [structlog.processors.ExceptionRenderer(_TRACEBACK), structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
