"""Products and orders, and the first three things to sell."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    product = op.create_table(
        "product",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("price", sa.Integer(), nullable=False),
    )
    op.create_table(
        "customer_order",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("product_id", sa.Integer(), sa.ForeignKey("product.id"), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mailed_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_customer_order_placed_at", "customer_order", ["placed_at"])
    op.bulk_insert(
        product,
        [{"name": "Kettle", "price": 3900}, {"name": "Teapot", "price": 2450}, {"name": "Cup", "price": 890}],
    )


def downgrade() -> None:
    """Drop the tables and all that is in them."""
    op.drop_table("customer_order")
    op.drop_table("product")
