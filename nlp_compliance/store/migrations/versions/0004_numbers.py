"""SQLite, too, gives no number twice: not after the newest rows were deleted either."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_anew(autoincrement=True)


def downgrade() -> None:
    _make_anew(autoincrement=False)


def _make_anew(*, autoincrement: bool) -> None:
    """The only way there in SQLite; rows, indexes and references stay. PostgreSQL counts like this by itself."""
    if op.get_context().dialect.name != "sqlite":
        return
    for name in ("uploads", "documents", "deliveries"):
        with op.batch_alter_table(name, recreate="always", table_kwargs={"sqlite_autoincrement": autoincrement}):
            pass
