"""The pages for when something went wrong."""

from __future__ import annotations

from flask import Flask, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

# None of these pages asks the database for anything: it may be what broke.
WORDS = {
    400: ("That did not arrive well", "Please go back, reload the page, and try again."),
    404: ("There is no such page", "The address may be mistyped, or the page was taken away."),
    405: ("That does not work here", "This address answers another kind of request."),
    413: ("That is too large", "A photo may have up to {photo_mib} MiB. Please go back and choose a smaller one."),
    500: ("Something broke on our side", "It is in our log. Please try again in a moment."),
}


def init_app(app: Flask) -> None:
    """Show errors as pages of our own, or as JSON below /api/."""
    photo_mib = app.config["MAX_PHOTO_SIZE"] // (1024 * 1024)

    def show(error: HTTPException) -> ResponseReturnValue:
        code = error.code or 500
        title, remedy = WORDS[code]
        remedy = remedy.format(photo_mib=photo_mib)
        if isinstance(error, CSRFError):
            remedy = "The form was open for too long, or cookies are off. Please go back, reload, and try again."
        if request.path.startswith("/api/"):
            return jsonify(error=title), code
        return render_template("error.html", code=code, title=title, remedy=remedy), code

    for code in WORDS:
        app.register_error_handler(code, show)
