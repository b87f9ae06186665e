"""API keys, webhooks, own rules, rewrites, full-text search"""

import unicodedata

import sqlalchemy as sa
from alembic import op

from nlp_compliance.store.search import terms

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.String(length=255), nullable=False),
        sa.Column("rate_per_minute", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("webhook_url", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("prefix"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("upload_id", sa.Integer(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_answer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_deliveries_status"), "deliveries", ["status"])
    op.create_index(op.f("ix_deliveries_upload_id"), "deliveries", ["upload_id"])
    op.create_table(
        "own_rules",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_own_rules_revision"), "own_rules", ["revision"])
    op.add_column("uploads", sa.Column("key_id", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_uploads_key_id"), "uploads", ["key_id"])
    op.add_column("decisions", sa.Column("rewrite", sa.Text(), nullable=True))
    op.add_column("documents", sa.Column("search_text", sa.Text(), nullable=False, server_default=""))
    # The end of the audit chain stands from the beginning, so that the first two writers queue behind its lock.
    op.execute(
        f"INSERT INTO audit_head (id, count, hash) SELECT 1, 0, '{'0' * 64}' "  # noqa: S608
        "WHERE NOT EXISTS (SELECT 1 FROM audit_head)"
    )
    _add_search()


def _add_search() -> None:
    """The index, filled with what is there. Old documents get a plainer normal form than new ones."""
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        op.execute("CREATE VIRTUAL TABLE document_search USING fts5(terms, detail='none', tokenize='unicode61')")
    else:
        op.execute("CREATE TABLE document_search (document_id INTEGER PRIMARY KEY, terms TEXT[] NOT NULL)")
        op.execute("CREATE INDEX ix_document_search_terms ON document_search USING gin (terms)")
    into = "rowid" if sqlite else "document_id"
    insert = sa.text(f"INSERT INTO document_search ({into}, terms) VALUES (:id, :terms)")  # noqa: S608
    for identifier, title, name, text in connection.execute(
        sa.text("SELECT id, title, name, text FROM documents")
    ).all():
        normal = unicodedata.normalize("NFKC", "\n".join((title, name, text))).lower()
        connection.execute(
            sa.text("UPDATE documents SET search_text = :normal WHERE id = :id"), {"normal": normal, "id": identifier}
        )
        own = terms(normal)
        connection.execute(insert, {"id": identifier, "terms": " ".join(own) if sqlite else own})


def downgrade() -> None:
    op.execute("DROP TABLE document_search")
    op.drop_column("documents", "search_text")
    op.drop_column("decisions", "rewrite")
    op.drop_index(op.f("ix_uploads_key_id"), "uploads")
    op.drop_column("uploads", "key_id")
    op.drop_table("own_rules")
    op.drop_table("deliveries")
    op.drop_table("api_keys")
