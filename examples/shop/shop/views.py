"""The pages."""

from __future__ import annotations

from flask import Blueprint, Flask, current_app, flash, jsonify, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from redis import RedisError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from . import queue
from .forms import OrderForm, csrf
from .models import Order, Product, db

bp = Blueprint("shop", __name__)


def init_app(app: Flask) -> None:
    """Give the app its pages, and every form its protection against forged requests."""
    csrf.init_app(app)
    app.register_blueprint(bp)


@bp.route("/", methods=["GET", "POST"])
def index() -> ResponseReturnValue:
    """The shop: the form to order."""
    form = OrderForm()
    products = db.session.scalars(select(Product).order_by(Product.name)).all()
    form.product.choices = [(product.id, f"{product.name}, {product.price / 100:.2f} EUR") for product in products]
    if form.validate_on_submit():
        order = place_order(form)
        flash(f"Thank you! Your order has the number {order.id}; a mail to {order.email} confirms it.")
        return redirect(url_for(".index"), 303)
    return render_template("index.html", form=form), 422 if form.errors else 200


def place_order(form: OrderForm) -> Order:
    """Store what a valid form holds and have the worker mail the confirmation."""
    order = Order(product_id=form.product.data, quantity=form.quantity.data, email=form.email.data)
    db.session.add(order)
    db.session.commit()  # before the worker is told, which may be faster than this process
    current_app.logger.info("order %d: %d of product %d", order.id, order.quantity, order.product_id)
    try:
        queue.confirm(order)
    except RedisError:
        # The order stands. `flask nightly` finds it without a mail.
        current_app.logger.exception("order %d: the queue cannot be reached", order.id)
    return order


@bp.get("/orders")
def orders() -> str:
    """The last orders, and which mails were sent: a page for the staff, which the web server guards."""
    newest_first = select(Order).order_by(Order.id.desc()).limit(100)
    return render_template("orders.html", orders=db.session.scalars(newest_first).all())


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """200 if the database answers and has its tables, else 503. Without the queue the shop still sells."""
    try:
        db.session.execute(select(Product.id).limit(1))
    except SQLAlchemyError:
        current_app.logger.exception("the database does not answer")
        return jsonify(status="error", database="does not answer"), 503
    return jsonify(status="ok", database="answers")
