"""The network of a cluster: one bridge in a network namespace of its own, and an interface of it for every node.

No route, interface or name is made on the host, so two clusters may use the same addresses as each other or as the
host. Nodes reach each other and, through :func:`relay`, one port of the host's loopback; everything else is refused
at once as unreachable.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading

from pcinfra.localcloud.slurm import kernel

BRIDGE = "vpc"
_ON_LINK = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
"""Where a VPC's addresses are (RFC 1918). One bridge carries every subnet, so no router stands between them."""

METADATA = "169.254.169.254"
"""Where an instance finds its metadata service (EC2 user guide), on port 80."""

_CHUNK = 65536
_LONGEST_HEAD = 65536


def ip(*commands: str) -> None:
    """Run commands of ip(8) in this process's network namespace, all or none after the first that fails."""
    text = "".join(f"{command}\n" for command in commands)
    done = subprocess.run(["ip", "-batch", "-"], input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise OSError(f"ip: {done.stderr.strip()}")


def make_bridge() -> None:
    """Give this process a new network namespace with a bridge and nothing else in it."""
    kernel.unshare(kernel.NEWNET)
    ip(f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up", "link set lo up")


def join(bridge_namespace: str, address: str) -> None:
    """Give this process a new network namespace with ``eth0`` on the bridge of ``bridge_namespace`` (a path)."""
    kernel.unshare(kernel.NEWNET)
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    bridge = os.open(bridge_namespace, os.O_RDONLY | os.O_CLOEXEC)
    outer = f"n{os.getpid()}"
    kernel.setns(bridge, kernel.NEWNET)
    peer = f"peer name eth0 netns /proc/{os.getpid()}/fd/{own}"
    ip(f"link add {outer} type veth {peer}", f"link set {outer} master {BRIDGE} up")
    kernel.setns(own, kernel.NEWNET)
    routes = [f"route add {block} dev eth0 src {address}" for block in _ON_LINK]
    service = f"addr add {METADATA}/32 dev lo scope host"
    ip("link set lo up", service, f"addr add {address}/32 dev eth0", "link set eth0 up", *routes)
    os.close(own)
    os.close(bridge)


def listen(port: int, address: str = "127.0.0.1") -> socket.socket:
    """Listen on an address that only the current network namespace has."""
    return socket.create_server((address, port), backlog=64)


def relay(listener: socket.socket, port: int, prefix: str = "") -> None:
    """Pass every connection on to ``port`` of the loopback of this thread's network namespace; never returns.

    Args:
        prefix: put before the path of an HTTP request, of which a connection then carries only one.
    """
    while True:
        near, _ = listener.accept()
        threading.Thread(target=_serve, args=(near, port, prefix.encode()), daemon=True).start()


def _serve(near: socket.socket, port: int, prefix: bytes) -> None:
    try:
        first = _request(near, prefix) if prefix else b""
        far = socket.create_connection(("127.0.0.1", port))
        far.sendall(first)
    except OSError:
        near.close()
        return
    back = threading.Thread(target=_pump, args=(far, near), daemon=True)
    back.start()
    _pump(near, far)
    back.join()
    near.close()
    far.close()


def _request(near: socket.socket, prefix: bytes) -> bytes:
    """Read the head of a request, and return it as one for another path, after which the connection is closed."""
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = near.recv(_CHUNK)
        head += chunk
        if not chunk or len(head) > _LONGEST_HEAD:
            raise OSError("no request")
    line, _, rest = head.partition(b"\r\n")
    method, _, target = line.partition(b" ")
    return b"%b %b%b\r\nConnection: close\r\n%b" % (method, prefix, target, rest)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            _hang_up(end)


def _hang_up(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
