# SPDX-License-Identifier: BSD-2-Clause
"""The outside observer: reads the guests' serial ports (com2) of all hosts, with one clock."""
import re
import socket
import threading
import time

PULSE = re.compile(rb"^P (\d+) (-?\d+) (-?\d+)\r?$")


class Watch:
    """Keeps (seconds, host name, bytes) of everything that arrives."""

    def __init__(self, hosts):
        self.pieces = []
        self.lock = threading.Condition()
        self.socks = []
        for host in hosts:
            sock = host.com2()
            self.socks.append(sock)
            threading.Thread(target=self._read, args=(host.name, sock), daemon=True).start()

    def _read(self, name, sock):
        while True:
            try:
                data = sock.recv(65536)
            except OSError:
                return
            if not data:
                return
            with self.lock:
                self.pieces.append((time.monotonic(), name, data))
                self.lock.notify_all()

    def close(self):
        for sock in self.socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def text(self, name=None, since=0.0):
        """What the guest said, in order of arrival: a byte is on one host only, so the join is one stream."""
        with self.lock:
            return b"".join(d for t, n, d in self.pieces if (name is None or n == name) and t >= since)

    def wait(self, pattern, timeout=60, name=None, since=0.0):
        """The first match of a bytes pattern in what arrived since; AssertionError with the tail if it never comes."""
        end = time.monotonic() + timeout
        pattern = re.compile(pattern, re.M)
        while True:
            text = self.text(name, since)
            match = pattern.search(text)
            if match:
                return match
            with self.lock:
                left = end - time.monotonic()
                assert left > 0, f"no {pattern.pattern!r} on com2 within {timeout} s; last: {text[-400:]!r}"
                self.lock.wait(min(left, 0.5))

    def lines(self):
        """(seconds, host name, line) with a line stamped when its end arrived; lines split by a move are joined."""
        result, rest = [], b""
        with self.lock:
            pieces = list(self.pieces)
        for stamp, name, data in pieces:
            parts = (rest + data).split(b"\n")
            rest = parts.pop()
            result += [(stamp, name, part.rstrip(b"\r")) for part in parts]
        return result

    def pulses(self, since=0.0):
        """(seconds, host, number, guest us, stall us) of each pulse."""
        found = []
        for stamp, name, line in self.lines():
            match = PULSE.match(line)
            if match and stamp >= since:
                found.append((stamp, name) + tuple(int(x) for x in match.groups()))
        return found

    def gaps(self, since=0.0):
        """For each change of host: (seen gap s, guest's own longest stall near it in us)."""
        pulses = self.pulses(since)
        found = []
        for before, after in zip(pulses, pulses[1:]):
            if before[1] != after[1]:
                near = [p[4] for p in pulses if 0 <= p[0] - after[0] < 0.2 and p[1] == after[1]]
                found.append((after[0] - before[0], max(near)))
        return found


def check_pulses(pulses):
    """No number lost, none twice, the guest's clock never back."""
    assert len(pulses) > 50, f"only {len(pulses)} pulses seen"
    for before, after in zip(pulses, pulses[1:]):
        assert after[2] == before[2] + 1, f"pulse {after} came after {before}"
        assert after[3] >= before[3], f"the guest's clock went back from {before[3]} to {after[3]} us"


def counters(host):
    """What must be equal before and after balanced work on a host."""
    memory = host.json("host memory")
    net = host.json("net show")
    return {
        "free_bytes": memory["free_bytes"],
        "heap_objects": memory["heap_objects"],
        "timers_armed": memory["timers_armed"],
        "pbufs_in_use": net["pbufs_in_use"],
        "tcp_pcbs_in_use": net["tcp_pcbs_in_use"],
    }


def settled_counters(host, wanted=None, seconds=10):
    """
    Counters once they are equal to wanted, or the last ones seen: closing connections and
    freeing a large guest's records take a moment. Without wanted: once they stand still.
    """
    end = time.monotonic() + seconds
    last = None
    while True:
        now = counters(host)
        if now == (wanted or last) or time.monotonic() > end:
            return now
        last = now
        time.sleep(0.3)
