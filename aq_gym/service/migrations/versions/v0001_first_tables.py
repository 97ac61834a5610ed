"""The first tables; a database from before the migrations has them already."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make what is missing."""

    def newest() -> list[sa.Column[object]]:
        return [sa.Column("value", sa.Float, nullable=False), sa.Column("received", sa.Float, nullable=False)]

    op.create_table(
        "device",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False, unique=True),
        sa.Column("location", sa.Integer, nullable=False),
        sa.Column("token_hash", sa.String(64)),
        if_not_exists=True,
    )
    op.create_table(
        "reading",
        sa.Column("device", sa.String(64), sa.ForeignKey("device.id"), primary_key=True),
        sa.Column("slot", sa.Integer, primary_key=True),
        *newest(),
        if_not_exists=True,
    )
    op.create_index("reading_by_slot", "reading", ["slot", "device"], if_not_exists=True)
    op.create_table(
        "latest",
        sa.Column("device", sa.String(64), sa.ForeignKey("device.id"), primary_key=True),
        sa.Column("slot", sa.Integer, nullable=False),
        *newest(),
        if_not_exists=True,
    )
    op.create_table(
        "plan",
        sa.Column("slot", sa.Integer, primary_key=True),
        sa.Column("cycle_slot", sa.Integer, nullable=False),
        sa.Column("level", sa.Float, nullable=False),
        sa.Column("promised_error", sa.Float, nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("decisions", sa.JSON, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("message", sa.String(300), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_alert_slot", "alert", ["slot"], if_not_exists=True)
    op.create_index("alert_once", "alert", ["slot", "kind", "subject"], unique=True, if_not_exists=True)
    op.create_table(
        "fact",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(300), nullable=False),
        if_not_exists=True,
    )
