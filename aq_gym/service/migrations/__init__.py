"""Migrations of the database with Alembic: each revision brings the tables from one version to the next."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

LOCK_NUMBER = 0x6171_0002


def upgrade(engine: Engine) -> None:
    """Bring the tables to the newest version; processes that start together do it one after another."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("select pg_advisory_xact_lock(:n)"), {"n": LOCK_NUMBER})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
