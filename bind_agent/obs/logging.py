"""Logging: one chain of processors for our own loggers and for those of libraries.

Programs call `setup` once. Modules write `log = get_logger(__name__)` and pass facts as keywords;
what holds for a whole reconcile or request is bound with `structlog.contextvars`. Redaction is the last step
before rendering, so that nothing can be added behind it.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal, TextIO

import orjson
import structlog
from structlog.typing import Processor

from bind_agent.obs.redaction import redact

Format = Literal["json", "console", "auto"]

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
"""Levels that the programs' flags accept."""

_QUIET: Final = {
    # Chatter of libraries that says nothing about our work; their warnings come through.
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    "urllib3": logging.WARNING,
    "kubernetes": logging.WARNING,
    "kopf": logging.INFO,
}


class Lines:
    """Where structlog's lines end: a stream, and the name of the logger that writes to it."""

    def __init__(self, target: TextIO, name: str = "") -> None:
        """Write to `target` on behalf of the logger `name`."""
        self.name = name
        self._target = target

    def write(self, line: str) -> None:
        """One line, seen at once."""
        self._target.write(f"{line}\n")
        self._target.flush()

    msg = log = debug = info = warning = error = critical = exception = write


def setup(level: str = "info", *, form: Format = "auto", stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging for this process.

    Args:
        level: one of `LEVELS`.
        form: `json` (one object per line), `console` (for eyes), or `auto`: console on a terminal, else JSON.
        stream: where lines go; standard error by default, because standard output belongs to what a
            program prints.

    Raises:
        ValueError: unknown level.
    """
    if level.lower() not in LEVELS:
        message = f"unknown log level {level!r}; choose one of {', '.join(LEVELS)}"
        raise ValueError(message)
    threshold = LEVELS[level.lower()]
    target = stream or sys.stderr
    chain = processors()
    renderer = _renderer(form, target)
    structlog.configure(
        processors=[*chain, redaction, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *args: Lines(target, *args),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *chain],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redaction,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, threshold))
    logging.captureWarnings(capture=True)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger for one module; its name stands in each line, as with loggers of the standard library."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger


def processors() -> list[Processor]:
    """What is added to every event before redaction and rendering."""
    return [
        structlog.contextvars.merge_contextvars,
        _logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]


def redaction(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The processor that lets no secret value through (see `bind_agent.obs.redaction`)."""
    return {key: redact(value, key=key) for key, value in event.items()}


def _logger_name(logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = event.get("_record")
    name = record.name if isinstance(record, logging.LogRecord) else getattr(logger, "name", "")
    if name:
        event.setdefault("logger", name)
    return event


def _renderer(form: Format, target: TextIO) -> Processor:
    if form == "auto":
        form = "console" if target.isatty() else "json"
    if form == "console":
        return structlog.dev.ConsoleRenderer(colors=target.isatty())
    return lambda _logger, _method, event: _json_line(event)


def _json_line(event: MutableMapping[str, Any]) -> str:
    # Keys that people look for stand first; orjson writes anything left over as text.
    ordered = {key: event[key] for key in ("timestamp", "level", "event") if key in event}
    ordered.update(event)
    return orjson.dumps(ordered, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
