# The entry of a release, roles/wsgi_server/files/groundwork_wsgi.py, which imports the app: Flask's or any other.
from _typeshed.wsgi import WSGIApplication

application: WSGIApplication
