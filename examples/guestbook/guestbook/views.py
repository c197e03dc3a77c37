"""The pages."""

from __future__ import annotations

import os
import pwd
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    flash,
    jsonify,
    redirect,
    render_template,
    request,
    send_from_directory,
    url_for,
)
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from . import photos
from .forms import EntryForm, csrf
from .models import Entry, db

API_LIMIT = 100  # entries in one answer

bp = Blueprint("guestbook", __name__)


def init_app(app: Flask) -> None:
    """Give the app its pages, and every form its protection against forged requests."""
    csrf.init_app(app)
    app.register_blueprint(bp)


@bp.route("/", methods=["GET", "POST"])
def index() -> ResponseReturnValue:
    """The book: the entries, the newest first, and the form to add one."""
    form = EntryForm()
    if form.validate_on_submit():
        entry = add_entry(form)
        flash(f"Thank you, {entry.name}! Your entry is in the book.")
        return redirect(url_for(".index"), 303)
    newest_first = select(Entry).order_by(Entry.posted_at.desc(), Entry.id.desc())
    page = db.paginate(newest_first, per_page=current_app.config["ENTRIES_PER_PAGE"], max_per_page=100)
    return render_template("index.html", form=form, page=page), 422 if form.errors else 200


def add_entry(form: EntryForm) -> Entry:
    """Store what a valid form holds and return it. If the database refuses it, its photo is deleted again."""
    directory = current_app.config["UPLOAD_DIR"]
    entry = Entry(name=form.name.data, message=form.message.data)
    if form.photo.data:
        entry.photo = photos.store(form.photo.data, directory)
    try:
        db.session.add(entry)
        db.session.commit()
    except SQLAlchemyError:
        if entry.photo:
            (directory / entry.photo).unlink(missing_ok=True)
        raise
    current_app.logger.info(
        "entry %d by %r from %s, photo: %s", entry.id, entry.name, request.remote_addr, entry.photo or "none"
    )
    return entry


@bp.get("/photos/<name>")
def photo(name: str) -> Response:
    """A photo. Its content never changes, so browsers may keep it."""
    if not photos.STORED_NAME.fullmatch(name):
        abort(404)
    response = send_from_directory(
        current_app.config["UPLOAD_DIR"],
        name,
        mimetype=photos.MIME_TYPES[name.rpartition(".")[2]],
        max_age=365 * 24 * 3600,
    )
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'; sandbox"
    return response


@bp.get("/api/entries")
def api_entries() -> Response:
    """The entries as JSON, the newest first. ``?before=<id>`` gives older ones, ``?limit=<1 to 100>`` fewer."""
    limit = min(max(request.args.get("limit", 20, type=int), 1), API_LIMIT)
    query = select(Entry).order_by(Entry.id.desc()).limit(limit)
    if before := request.args.get("before", type=int):
        query = query.where(Entry.id < before)
    entries = db.session.scalars(query).all()
    older = url_for(".api_entries", limit=limit, before=entries[-1].id) if len(entries) == limit else None
    return jsonify(entries=[as_json(entry) for entry in entries], older=older)


def as_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as the API shows it."""
    return {
        "id": entry.id,
        "name": entry.name,
        "message": entry.message,
        "photo": url_for(".photo", name=entry.photo) if entry.photo else None,
        "posted_at": entry.posted_at.isoformat(timespec="seconds"),
    }


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """200 if the database answers and has its table, else 503. Why not is in the log, not in the answer."""
    try:
        db.session.execute(select(Entry.id).limit(1))
    except SQLAlchemyError:
        current_app.logger.exception("the database does not answer")
        return jsonify(status="error", database="does not answer"), 503
    return jsonify(status="ok", database="answers")


@bp.get("/whoami")
def whoami() -> Response:
    """A diagnostic page: what the server knows of this very connection, and which process answered."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    response = jsonify(
        about="A diagnostic page: what this server knows of your connection, and which process answered.",
        remote_addr=request.remote_addr,
        scheme=request.scheme,
        url=request.url,
        host=request.host,
        pid=os.getpid(),
        user=user,
    )
    response.headers["Cache-Control"] = "no-store"
    return response
