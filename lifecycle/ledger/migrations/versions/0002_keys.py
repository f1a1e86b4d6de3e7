"""API keys."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "keys",
        Column("id", String(40), primary_key=True),
        Column("scope", String(20), nullable=False),
        Column("secret_digest", String(64), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("name", String(60)),
        Column("expires_at", BigInteger),
        Column("revoked_at", BigInteger),
        Column("rate_per_minute", Integer),
    )


def downgrade() -> None:
    op.drop_table("keys")
