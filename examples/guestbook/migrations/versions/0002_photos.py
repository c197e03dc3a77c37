"""An entry may have a photo."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; entries made before have no photo."""
    with op.batch_alter_table("entry") as entry:
        entry.add_column(sa.Column("photo", sa.String(40), nullable=True))


def downgrade() -> None:
    """Forget which entry has which photo."""
    with op.batch_alter_table("entry") as entry:
        entry.drop_column("photo")
