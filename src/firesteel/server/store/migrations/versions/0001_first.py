"""The first schema. Frozen: later changes are later files."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def text(name: str, **more: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, **{"nullable": False} | more)


def number(name: str, kind: Any = sa.BigInteger, **more: Any) -> sa.Column[float]:
    return sa.Column(name, kind, **{"nullable": False} | more)


def flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def upgrade() -> None:
    op.create_table(
        "keys",
        text("id", primary_key=True),
        text("owner"),
        text("name"),
        text("prefix"),
        text("digest", unique=True),
        text("modes"),
        text("tools"),
        number("requests_per_minute", nullable=True),
        number("tokens_per_minute", nullable=True),
        number("monthly_tokens", nullable=True),
        number("expires", sa.Double, nullable=True),
        number("created", sa.Double),
        number("revoked", sa.Double, nullable=True),
    )
    op.create_table(
        "usage",
        text("owner", primary_key=True),
        text("key", primary_key=True),
        number("at", sa.Double, primary_key=True),
        text("model", primary_key=True),
        text("mode", primary_key=True),
        number("requests"),
        number("prompt_tokens"),
        number("cached_tokens"),
        number("completion_tokens"),
        number("reasoning_tokens"),
    )
    op.create_index("usage_by_key", "usage", ["key", "at"])
    op.create_table(
        "responses",
        text("owner", primary_key=True),
        text("id", primary_key=True),
        number("created", sa.Double),
        text("status"),
        flag("background"),
        text("model"),
        text("previous", nullable=True),
        text("conversation", nullable=True),
        text("body"),
        text("request"),
        text("messages"),
        text("instructions"),
        text("replica", nullable=True),
        number("leased_until", sa.Double, nullable=True),
        flag("cancel"),
    )
    op.create_index("responses_by_time", "responses", ["owner", "created", "id"])
    op.create_index("responses_by_id", "responses", ["id"])
    running = sa.text("status IN ('queued', 'in_progress')")
    op.create_index("responses_running", "responses", ["leased_until"], sqlite_where=running, postgresql_where=running)
    op.create_table(
        "events",
        text("owner", primary_key=True),
        text("response", primary_key=True),
        number("sequence", primary_key=True, autoincrement=False),
        text("text"),
        sa.ForeignKeyConstraint(["owner", "response"], ["responses.owner", "responses.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "conversations",
        text("owner", primary_key=True),
        text("id", primary_key=True),
        number("created", sa.Double),
        number("updated", sa.Double),
        text("title"),
        flag("pinned"),
        text("metadata"),
        sa.Column("length", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.create_index("conversations_by_time", "conversations", ["owner", "updated", "id"])
    op.create_table(
        "items",
        text("owner", primary_key=True),
        text("conversation", primary_key=True),
        text("id", primary_key=True),
        number("position"),
        text("value"),
        sa.ForeignKeyConstraint(
            ["owner", "conversation"], ["conversations.owner", "conversations.id"], ondelete="CASCADE"
        ),
    )
    op.create_index("items_by_position", "items", ["owner", "conversation", "position"], unique=True)
    op.create_table(
        "traces",
        text("owner", primary_key=True),
        text("id", primary_key=True),
        number("created", sa.Double),
        text("model"),
        text("body"),
        text("messages"),
    )
    op.create_index("traces_by_time", "traces", ["owner", "created", "id"])
    op.create_table("blobs", text("sha256", primary_key=True), sa.Column("data", sa.LargeBinary, nullable=False))
    op.create_table(
        "files",
        text("owner", primary_key=True),
        text("id", primary_key=True),
        number("created", sa.Double),
        text("name"),
        text("purpose"),
        text("media_type"),
        number("bytes"),
        sa.Column("blob", sa.Text, sa.ForeignKey("blobs.sha256"), nullable=False),
    )
    op.create_index("files_by_time", "files", ["owner", "created", "id"])
    op.create_table(
        "idempotency",
        text("owner", primary_key=True),
        text("key", primary_key=True),
        text("digest"),
        number("created", sa.Double),
        number("status", nullable=True),
        text("headers", nullable=True),
        sa.Column("body", sa.LargeBinary),
    )
    op.create_index("idempotency_by_time", "idempotency", ["created"])
