"""More of what the folder saw, and erasures."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, String, Text

revision = "0003"
down_revision = "0002"
COUNTS = ("corrupt_frames", "parked_labels", "orphaned_labels")


def upgrade() -> None:
    for name in COUNTS:
        op.add_column("fold_status", Column(name, BigInteger, nullable=False, server_default="0"))
    op.add_column("fold_status", Column("problem", Text))
    op.create_table(
        "erasures",
        Column("id", String(36), primary_key=True),
        Column("token", String(64), nullable=False),
        Column("requested_at", BigInteger, nullable=False),
        Column("actor", String(200), nullable=False),
        Column("finished_at", BigInteger),
        Column("proof", JSON, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("erasures")
    for name in (*COUNTS, "problem"):
        op.drop_column("fold_status", name)
