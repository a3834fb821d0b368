#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A machine in Bochs, with the handles that a host of the lab has.

    tools/bochs_host.py FOLDER --model MODEL --image DISK ...

Starts Bochs without a screen and stays with it until it ends: in FOLDER, console and com2 are
UNIX sockets of its serial ports (one client at a time, the next one when the last has gone),
log keeps all that COM1 ever said, pid is the emulator's, bochs.log is what Bochs itself has to say.

Bochs offers each serial port as a TCP client: it is given a listening port of this process, so
that no port number is guessed. Nothing is lost on the way: whoever does not keep up holds the
emulator up, as with QEMU.
"""
import argparse
import ctypes
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path

# What the lab calls a CPU, and the model of Bochs that has what Tern needs.
MODELS = {"intel": "corei7_skylake_x", "ryzen": "ryzen"}

# Where Debian's packages put them; the first that is there.
BIOS = ("/usr/share/bochs/BIOS-bochs-latest", "/usr/share/bochs/BIOS-bochs-legacy")
VGA_BIOS = ("/usr/share/bochs/VGABIOS-lgpl-latest", "/usr/share/bochs/VGABIOS-lgpl-latest.bin",
            "/usr/share/vgabios/vgabios.bin")
PENDING_MAX = 1 << 16   # bytes for a client that does not keep up, before the emulator has to wait
PR_SET_PDEATHSIG = 1


def first_file(paths, package):
    for path in paths:
        if Path(path).exists():
            return path
    raise SystemExit(f"none of {', '.join(paths)} is there: run tools/setup (package {package})")


def bochsrc(args, ports):
    """Bochs' configuration. ips is the TSC's rate: how fast the machine is in its own time."""
    folder = Path(args.folder)
    # Its AMD-V reports each intercepted port as an error; its VT-x only what is one, such as a failed entry.
    errors = "report, cpu0=ignore" if args.model == MODELS["ryzen"] else "report"
    # rfb is the display that wants neither a terminal nor a window; nobody has to connect to it.
    lines = [
        f"cpu: model={args.model}, count={args.cpus}, ips={args.ips}, reset_on_triple_fault=1",
        f"memory: guest={args.mem}, host={args.mem}",
        f"romimage: file={first_file(BIOS, 'bochsbios')}",
        f"vgaromimage: file={first_file(VGA_BIOS, 'vgabios')}",
        f"ata0-master: type=disk, path={args.image}, mode=flat",
        "boot: disk",
        'display_library: rfb, options="timeout=0"',
        f"clock: sync={args.sync}, time0=utc",
        f"log: {folder}/bochs.log",
        "panic: action=fatal",
        f"error: action={errors}",
        "info: action=ignore",
    ]
    lines += [f"com{n}: enabled=1, mode=socket-client, dev=127.0.0.1:{port}" for n, port in ports.items()]
    if args.net:
        lines.append(f"e1000: enabled=1, mac={args.mac}, ethmod=socket, ethdev={args.net}")
    return "\n".join(lines) + "\n"


class SerialPort:
    """Between Bochs' end of a serial port and whoever is connected to a UNIX socket of ours."""

    def __init__(self, selector, path, log=None):
        self.selector, self.path, self.log = selector, path, log
        self.machine = self.client = None
        self.to_client, self.to_machine = bytearray(), bytearray()
        self.inside = socket.create_server(("127.0.0.1", 0), backlog=1)
        path.unlink(missing_ok=True)
        self.outside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.outside.bind(str(path))
        self.outside.listen(8)
        selector.register(self.inside, selectors.EVENT_READ, self.machine_comes)

    @property
    def number(self):
        return self.inside.getsockname()[1]

    def machine_comes(self, _):
        self.machine, _ = self.inside.accept()
        self.machine.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.machine.setblocking(False)
        self.selector.unregister(self.inside)
        self.inside.close()
        self.selector.register(self.machine, selectors.EVENT_READ, self.machine_ready)
        self.selector.register(self.outside, selectors.EVENT_READ, self.client_comes)

    def client_comes(self, _):
        self.client, _ = self.outside.accept()
        self.client.setblocking(False)
        self.selector.unregister(self.outside)
        self.selector.register(self.client, selectors.EVENT_READ, self.client_ready)

    def client_goes(self):
        self.selector.unregister(self.client)
        self.client.close()
        self.client = None
        self.to_client.clear()
        self.selector.register(self.outside, selectors.EVENT_READ, self.client_comes)
        self.want_events()

    def want_events(self):
        """Reads from each side only while the other one keeps up."""
        def wanted(reads, writes):
            return (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if writes else 0)

        def change(sock, events, handler):
            known = sock in self.selector.get_map()
            if known and events:
                self.selector.modify(sock, events, handler)
            elif known:
                self.selector.unregister(sock)
            elif events:
                self.selector.register(sock, events, handler)

        if self.machine:
            change(self.machine, wanted(len(self.to_client) < PENDING_MAX, self.to_machine), self.machine_ready)
        if self.client:
            change(self.client, wanted(len(self.to_machine) < PENDING_MAX, self.to_client), self.client_ready)

    def machine_ready(self, events):
        if events & selectors.EVENT_WRITE:
            self._drain(self.machine, self.to_machine)
        if events & selectors.EVENT_READ:
            data = self._receive(self.machine)
            if data == b"":
                self.selector.unregister(self.machine)
                self.machine = None
                return
            # Bochs sends byte by byte and leaves Nagle's algorithm on: an answer at once keeps it going.
            self.machine.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if data and self.log:
                self.log.write(data)
            if data and self.client:
                self.to_client += data
                self._drain(self.client, self.to_client)
        self.want_events()

    def client_ready(self, events):
        if events & selectors.EVENT_WRITE:
            self._drain(self.client, self.to_client)
        if events & selectors.EVENT_READ:
            data = self._receive(self.client)
            if data == b"":
                self.client_goes()
                return
            if data and self.machine:
                self.to_machine += data
                self._drain(self.machine, self.to_machine)
        self.want_events()

    @staticmethod
    def _receive(sock):
        """None: nothing now. Empty: the other end has gone."""
        try:
            return sock.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    @staticmethod
    def _drain(sock, pending):
        try:
            del pending[:sock.send(pending)]
        except BlockingIOError:
            pass
        except OSError:
            pending.clear()     # it has gone: reading says so next


def die_with_parent():
    """The emulator does not outlive this process, however that ends (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(args, ports):
    folder = Path(args.folder)
    config = folder / "bochsrc"
    config.write_text(bochsrc(args, {n: port.number for n, port in ports.items()}))
    with open(folder / "bochs.out", "wb") as out:
        try:
            process = subprocess.Popen(["bochs", "-q", "-f", str(config)], stdin=subprocess.PIPE, stdout=out,
                                       stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        except FileNotFoundError:
            raise SystemExit("Bochs is not installed: run tools/setup intel")
    # Debian builds Bochs with its debugger, which waits for "continue"; a machine that stops is over.
    process.stdin.write(b"c\nq\n")
    process.stdin.close()
    (folder / "pid.new").write_text(str(process.pid))
    (folder / "pid.new").rename(folder / "pid")
    return process


def run(args):
    folder = Path(args.folder)
    selector = selectors.DefaultSelector()
    with open(folder / "log", "wb", buffering=0) as log:
        ports = {1: SerialPort(selector, folder / "console", log), 2: SerialPort(selector, folder / "com2")}
        process = start(args, ports)
        while process.poll() is None or any(port.machine for port in ports.values()):
            for key, events in selector.select(0.5):
                key.data(events)
    # The sockets' files are left to whoever takes the lab down: a new host may already be in this folder.
    return process.returncode


def main():
    parser = argparse.ArgumentParser(prog="tools/bochs_host.py", description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--model", required=True, help="Bochs' name of a CPU, for example corei7_skylake_x")
    parser.add_argument("--image", required=True, help="a raw disk that starts by BIOS")
    parser.add_argument("--cpus", default="1")
    parser.add_argument("--mem", type=int, default=512, help="MiB")
    parser.add_argument("--ips", type=int, default=50_000_000, help="instructions in a second of the machine's time")
    parser.add_argument("--sync", default="none", choices=("none", "slowdown", "realtime", "both"))
    parser.add_argument("--net", type=int, help="UDP port of its wire; it sends to the next one")
    parser.add_argument("--mac", default="52:54:00:4d:00:01")
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
