"""The form to order with."""

from __future__ import annotations

from flask_wtf import FlaskForm
from flask_wtf.csrf import CSRFProtect
from wtforms import EmailField, IntegerField, SelectField
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Regexp

csrf = CSRFProtect()


class OrderForm(FlaskForm):
    """Product, quantity and the address that the confirmation goes to."""

    product = SelectField("Product", coerce=int)
    quantity = IntegerField("Quantity", default=1, validators=[InputRequired("How many?"), NumberRange(1, 99)])
    email = EmailField(
        "Your e-mail address",
        filters=[lambda text: (text or "").strip()],
        validators=[
            DataRequired("Where may we send the confirmation?"),
            Length(max=254),
            Regexp(r"[^@\s<>,;:]+@[^@\s<>,;:]+$", message="This is not an e-mail address."),
        ],
    )
