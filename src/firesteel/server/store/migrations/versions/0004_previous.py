"""Which responses follow a response, so that old ones can go when nothing follows them."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("responses_by_previous", "responses", ["owner", "previous"])
