"""What a verdict is made of beside its scores, and what thresholds are derived from."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, Integer, String, Text

revision = "0004"
down_revision = "0003"
LISTS = ("findings", "segments", "fairness")


def upgrade() -> None:
    for name in LISTS:
        op.add_column("verdicts", Column(name, JSON, nullable=False, server_default="[]"))
    op.add_column("verdicts", Column("reference", Text))
    op.add_column("verdicts", Column("estimate", JSON))
    op.create_table(
        "calibrations",
        Column("key", String(200), primary_key=True),
        Column("version", Integer, nullable=False, index=True),
        Column("made_at", BigInteger, nullable=False),
        Column("content", JSON, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("calibrations")
    for name in (*LISTS, "reference", "estimate"):
        op.drop_column("verdicts", name)
