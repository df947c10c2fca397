"""An S3 server on a free port of loopback, which is printed as "s3 http://127.0.0.1:PORT"."""

import logging
import threading

from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(f"s3 http://{host}:{port}", flush=True)
threading.Event().wait()
