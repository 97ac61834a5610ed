"""Logs as one JSON object a line on stdout, as an ELK stack or Loki takes them."""

import json
import logging
import logging.config
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """Time, severity, logger and event, and the fields of ``extra={"about": {...}}``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "severity": record.levelname, "logger": record.name, "event": record.getMessage()}
        line |= getattr(record, "about", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: str = "INFO") -> None:
    """Send logs from a level on to stdout in this form."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonFormatter}},
            "handlers": {
                "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}
            },
            "root": {"level": level, "handlers": ["stdout"]},
            "loggers": {"waitress.queue": {"level": "ERROR"}, "alembic": {"level": "WARNING"}},
        }
    )
