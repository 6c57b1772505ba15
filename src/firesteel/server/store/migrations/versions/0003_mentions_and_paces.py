"""Ends of files; which rows name which blob, so that one can go when nothing does; the pace of keys."""

import re
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NAME = re.compile(r'"([0-9a-f]{64})"')


def text(name: str, **more: object) -> sa.Column[str]:
    return sa.Column(name, sa.Text, **{"nullable": False} | more)  # type: ignore[arg-type]


def upgrade() -> None:
    op.add_column("files", sa.Column("expires", sa.Double))
    op.create_index("files_by_blob", "files", ["blob"])
    op.create_index("files_by_end", "files", ["expires"])
    op.add_column("blobs", sa.Column("unused", sa.Double))
    op.create_index("blobs_unused", "blobs", ["unused", "sha256"])
    mentions = op.create_table(
        "mentions",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        text("blob"),
        text("owner"),
        text("response", nullable=True),
        text("conversation", nullable=True),
        text("item", nullable=True),
        sa.ForeignKeyConstraint(["owner", "response"], ["responses.owner", "responses.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["owner", "conversation", "item"], ["items.owner", "items.conversation", "items.id"], ondelete="CASCADE"
        ),
    )
    op.create_index("mentions_by_blob", "mentions", ["blob"])
    op.create_index("mentions_by_response", "mentions", ["owner", "response"])
    op.create_index("mentions_by_item", "mentions", ["owner", "conversation", "item"])
    op.create_table(
        "paces",
        text("key", primary_key=True),
        sa.Column("requests", sa.Double, nullable=False),
        sa.Column("tokens", sa.Double, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    responses = "SELECT owner, id AS response, body, request, messages FROM responses"
    items = "SELECT owner, conversation, id AS item, value FROM items"
    for statement, places in ((responses, ("owner", "response")), (items, ("owner", "conversation", "item"))):
        for rows in _named(statement, places):
            op.bulk_insert(mentions, rows)


def _named(statement: str, places: tuple[str, ...]) -> Iterator[list[dict[str, str]]]:
    """The mentions in the rows of a statement, whose columns behind `places` are JSON; some rows at a time."""
    found = op.get_bind().execute(sa.text(statement))
    while rows := found.mappings().fetchmany(500):
        yield [
            {name: row[name] for name in places} | {"blob": blob}
            for row in rows
            for blob in {blob for name, told in row.items() if name not in places for blob in _NAME.findall(told)}
        ]
