"""Started as `openclaw.mjs gateway`, it is a gateway that cannot be reached: zombie (no port) or hung (no answer).

Options after `gateway`: --hung PORT, --deaf (SIGTERM does nothing).
"""

import signal
import socket
import sys

if "--deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
servers = []
if "--hung" in sys.argv:
    servers.append(socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("--hung") + 1]))))
print("ready", flush=True)
while True:
    signal.pause()
