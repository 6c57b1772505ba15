"""Threads, the search of what was said in them, and the right of keys to look after the server."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def text(name: str, **more: object) -> sa.Column[str]:
    return sa.Column(name, sa.Text, **{"nullable": False} | more)  # type: ignore[arg-type]


def upgrade() -> None:
    op.add_column("keys", sa.Column("admin", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "threads",
        text("owner", primary_key=True),
        text("id", primary_key=True),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        text("title"),
        sa.Column("pinned", sa.Boolean, nullable=False),
        text("leaf", nullable=True),
        text("settings"),
        sa.Column("deleted", sa.Double),
    )
    op.create_index("threads_by_time", "threads", ["owner", "pinned", "updated", "id"])
    op.create_index("threads_deleted", "threads", ["deleted"])
    op.add_column("responses", sa.Column("thread", sa.Text))
    op.create_index("responses_by_thread", "responses", ["owner", "thread", "created"])
    op.create_table(
        "texts",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        text("owner"),
        text("thread"),
        text("response", nullable=True),
        text("text"),
        text("words"),
        sa.ForeignKeyConstraint(["owner", "thread"], ["threads.owner", "threads.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["owner", "response"], ["responses.owner", "responses.id"], ondelete="CASCADE"),
    )
    op.create_index("texts_by_thread", "texts", ["owner", "thread", "response"])
    op.create_index("texts_by_response", "texts", ["owner", "response"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE INDEX texts_words ON texts USING gin (array_to_tsvector(string_to_array(words, ' ')))")
        return
    # An index without a copy of the words (https://www.sqlite.org/fts5.html, 4.4.3), kept in step by triggers, which
    # cascading deletes fire too; rows are never changed. The tokenizer `ascii` splits at spaces and changes nothing.
    op.execute(
        "CREATE VIRTUAL TABLE texts_words USING fts5("
        "words, content='texts', content_rowid='number', tokenize='ascii', detail='none')"
    )
    added = "INSERT INTO texts_words (rowid, words) VALUES (new.number, new.words);"
    gone = "INSERT INTO texts_words (texts_words, rowid, words) VALUES ('delete', old.number, old.words);"
    op.execute(f"CREATE TRIGGER texts_added AFTER INSERT ON texts BEGIN {added} END")
    op.execute(f"CREATE TRIGGER texts_deleted AFTER DELETE ON texts BEGIN {gone} END")
