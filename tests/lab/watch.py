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
        self.parsed = []        # pulses so far: parsed once, since an observer that is busy holds the wire up
        self.rest = b""         # an unfinished line; a move may split it between two hosts
        self.lock = threading.Lock()
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
                self._parse(*self.pieces[-1])

    def _parse(self, stamp, name, data):
        """A line counts when and where its end arrived."""
        parts = (self.rest + data).split(b"\n")
        self.rest = parts.pop()
        for part in parts:
            match = PULSE.match(part)
            if match:
                self.parsed.append((stamp, name) + tuple(int(x) for x in match.groups()))

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
            assert time.monotonic() < end, f"no {pattern.pattern!r} on com2 within {timeout} s; last: {text[-400:]!r}"
            time.sleep(0.1)

    def pulses(self, since=0.0):
        """(seconds, host, number, guest us, stall us) of each pulse."""
        with self.lock:
            if not since:
                return self.parsed[:]
            return [pulse for pulse in self.parsed if pulse[0] >= since]

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


def leaks(before, now):
    """What is held now and was not before: {counter: (before, now)}. A service's own timer may come and go."""
    return {key: (before[key], now[key]) for key in before
            if (now[key] < before[key] if key == "free_bytes" else now[key] > before[key])}


def settled_counters(host, wanted=None, seconds=10):
    """
    Counters once nothing has leaked since wanted, or the last ones seen: closing connections and
    freeing a large guest's records take a moment. Without wanted: once they stand still, and of
    timers the most that are seen, since a guest's own come and go with its ticks.
    """
    end = time.monotonic() + seconds
    last = None
    while True:
        now = counters(host)
        is_settled = not leaks(wanted, now) if wanted else last and not leaks(last, now)
        if is_settled or time.monotonic() > end:
            break
        last = now
        time.sleep(0.3)
    if not wanted:
        now["timers_armed"] = max([now["timers_armed"]] + [counters(host)["timers_armed"] for _ in range(10)])
    return now
