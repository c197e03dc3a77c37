"""The database: what can be bought, and what was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """Base of all models."""


db = SQLAlchemy(model_class=Base)
migrate = Migrate()


class Product(db.Model):
    """What can be bought; ``price`` in cents."""

    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    price: Mapped[int]


class Order(db.Model):
    """What one visitor bought. ``mailed_at`` is None until the confirmation is on its way."""

    __tablename__ = "customer_order"  # "order" is a word of SQL

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    quantity: Mapped[int]
    email: Mapped[str] = mapped_column(String(254))
    placed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC), index=True)
    mailed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    product: Mapped[Product] = relationship(lazy="joined", innerjoin=True)

    @property
    def total(self) -> int:
        """What the order costs, in cents."""
        return self.quantity * self.product.price


def init_app(app: Flask, migrations: Path) -> None:
    """Connect the app to its database, and ``flask db`` to the directory of migrations."""
    db.init_app(app)
    migrate.init_app(app, db, directory=str(migrations))
