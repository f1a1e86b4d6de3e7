"""The ledger's tables. Times are microseconds since 1970, UTC, so that they mean the same in every database."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

versions = Table(
    "versions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("created_at", BigInteger, nullable=False),
    Column("status", String(20), nullable=False),
    Column("manifest_digest", String(64), nullable=False),
    Column("parent", Integer),
    Column("metrics", JSON, nullable=False),
    Column("lineage", JSON, nullable=False),
)
pointer = Table(
    "pointer",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("version", Integer),
    Column("generation", Integer, nullable=False),
    Column("staged", Integer),
    Column("moved_at", BigInteger),
)
moves = Table(
    "moves",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("reason", Text, nullable=False),
)
workers = Table(
    "workers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("heartbeat_at", BigInteger, nullable=False, index=True),
    Column("version", Integer),
    Column("generation", Integer, nullable=False),
    Column("swapped_at", BigInteger),
)
acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("worker", String(36), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("problem", Text),
    Column("at", BigInteger, nullable=False),
)
verdicts = Table(
    "verdicts",
    metadata,
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("end", BigInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("state", String(20), nullable=False, index=True),
    Column("version", Integer),
    Column("drifting", Boolean, nullable=False),
    Column("scored_at", BigInteger, nullable=False),
    Column("scores", JSON, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("performance", JSON),
    Column("report", String(200)),
    Column("retrain", Text),
    Column("reference", Text),
    Column("findings", JSON, nullable=False, server_default="[]"),
    Column("estimate", JSON),
    Column("segments", JSON, nullable=False, server_default="[]"),
    Column("fairness", JSON, nullable=False, server_default="[]"),
)
calibrations = Table(
    "calibrations",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("version", Integer, nullable=False, index=True),
    Column("made_at", BigInteger, nullable=False),
    Column("content", JSON, nullable=False),
)
alerts = Table(
    "alerts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("severity", String(10), nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
)
outbox = Table(
    "outbox",
    metadata,
    Column("key", String(120), primary_key=True),
    Column("alert", String(36), nullable=False),
    Column("transition", String(10), nullable=False),
    Column("target", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", BigInteger, nullable=False),
    Column("delivered", Boolean, nullable=False),
    Column("error", Text),
    Index("outbox_due", "delivered", "next_attempt_at"),
)
runs = Table(
    "runs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("requested_at", BigInteger, nullable=False, index=True),
    Column("trigger", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("challenger", Integer),
    Column("snapshot", JSON, nullable=False),
    Column("decision", JSON, nullable=False),
)
leases = Table(
    "leases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", String(80), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
fold_status = Table(
    "fold_status",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("watermark", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("pending_segments", Integer, nullable=False),
    Column("pending_bytes", BigInteger, nullable=False),
    Column("folded_rows", BigInteger, nullable=False),
    Column("quarantined_segments", Integer, nullable=False),
    Column("truncated_bytes", BigInteger, nullable=False),
    Column("corrupt_frames", BigInteger, nullable=False, server_default="0"),
    Column("parked_labels", BigInteger, nullable=False, server_default="0"),
    Column("orphaned_labels", BigInteger, nullable=False, server_default="0"),
    Column("problem", Text),
)
erasures = Table(
    "erasures",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("token", String(64), nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("finished_at", BigInteger),
    Column("proof", JSON, nullable=False),
)
keys = Table(
    "keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("scope", String(20), nullable=False),
    Column("secret_digest", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("name", String(60)),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("rate_per_minute", Integer),
)
audit = Table(
    "audit",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(80), nullable=False),
    Column("detail", JSON, nullable=False),
)
