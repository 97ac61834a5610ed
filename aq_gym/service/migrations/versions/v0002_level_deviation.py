"""Plans say how sure their level is, and whether anything was known of it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# Before, the level of the first plan stood for "nobody has reported yet"; how unsure a later one was is not known.
OLDER = """
update plan set level_deviation = 0.0 where slot >= (select min(p.slot) from plan p where p.level <>
(select f.level from plan f order by f.slot limit 1))
"""


def upgrade() -> None:
    """Add the column where it is missing."""
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("plan")}
    if "level_deviation" not in columns:
        op.add_column("plan", sa.Column("level_deviation", sa.Float))
        op.execute(OLDER)
