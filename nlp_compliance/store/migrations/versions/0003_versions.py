"""Versions of a copy are found without reading every document."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_documents_previous_id"), "documents", ["previous_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_documents_previous_id"), "documents")
