"""The form under which visitors sign."""

from __future__ import annotations

from flask import current_app
from flask_wtf import FlaskForm
from flask_wtf.csrf import CSRFProtect
from flask_wtf.file import FileField
from wtforms import StringField, TextAreaField, ValidationError
from wtforms.validators import DataRequired, Length

from . import photos

csrf = CSRFProtect()


def one_line(text: str | None) -> str:
    """Return the text with every run of white space made one blank."""
    return " ".join((text or "").split())


def paragraphs(text: str | None) -> str:
    """Return the text with one kind of line break, without blanks around it, and no NUL (databases refuse it)."""
    return "\n".join((text or "").replace("\0", "").splitlines()).strip()


class EntryForm(FlaskForm):
    """Name, message and photo."""

    name = StringField(
        "Your name",
        filters=[paragraphs, one_line],
        validators=[DataRequired("Please tell us your name."), Length(1, 60, "A name has 1 to 60 characters.")],
    )
    message = TextAreaField(
        "Message",
        filters=[paragraphs],
        validators=[DataRequired("Please write something."), Length(1, 1000, "A message has 1 to 1000 characters.")],
    )
    photo = FileField("Photo")

    def validate_photo(self, field: FileField) -> None:
        """Refuse what is not a picture, or too large. No file at all is fine."""
        if field.data and (problem := photos.problem_with(field.data, current_app.config["MAX_PHOTO_SIZE"])):
            raise ValidationError(problem)
