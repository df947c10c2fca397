"""Apache Superset with an empty database of its own: superset_server.py FOLDER. Says where it is, and ends with its input."""

import logging
import os
import pathlib
import sys
import threading

folder = pathlib.Path(sys.argv[1])
(folder / "superset_config.py").write_text(
    f"""
SECRET_KEY = "only of a test, on loopback"
SQLALCHEMY_DATABASE_URI = "sqlite:///{folder}/superset.db?check_same_thread=false"
# Its clients are a script and a browser without cookies from elsewhere.
WTF_CSRF_ENABLED = False
TALISMAN_ENABLED = False
"""
)
os.environ.update(SUPERSET_HOME=str(folder), SUPERSET_CONFIG_PATH=str(folder / "superset_config.py"), SUPERSET_ENV="production")

from flask_migrate import upgrade  # noqa: E402
from superset.app import create_app  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

app = create_app()
with app.app_context():
    import superset

    upgrade(directory=str(pathlib.Path(superset.__file__).parent / "migrations"))
    # The migrations' own configuration of logs has put all others out.
    for logger in logging.root.manager.loggerDict.values():
        logger.disabled = False
    security = superset.security_manager
    superset.appbuilder.add_permissions(update_perms=True)
    security.sync_role_definitions()
    security.add_user("admin", "Ada", "Min", "admin@example.org", security.find_role("Admin"), password="admin")
server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
sys.stdin.read()
