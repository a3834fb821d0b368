# SPDX-License-Identifier: BSD-2-Clause
"""Whatever happens to the peer or the wire, the guest runs on, once, and the console says one clear line."""
import os
import re
import socket
import threading
import time

import pytest
from conftest import GUEST_FILES
from watch import check_pulses, leaks, settled_counters

PORT = 8376


def failed_move(lab, code, line="migrate web1 to host2", timeout=120):
    ok, text = lab.host(1).command(line, timeout)
    errors = [each for each in text.splitlines() if each.startswith("error: ")]
    assert not ok and len(errors) == 1, text
    assert re.search(rf"\({code}\)$", errors[0]), errors[0]
    assert lab.state(1) == "running"
    return errors[0]


def detached(lab, options="rate=60M stun=500ms"):
    """Starts a move slow enough to be disturbed, and returns once pages flow."""
    lab.host(1).run(f"migrate web1 to host2 {options} --detach")
    end = time.monotonic() + 20
    while lab.host(1).json("migrate status")["moves"][0]["bytes_sent"] < 1_000_000:
        assert time.monotonic() < end
        time.sleep(0.05)


def ended(lab, seconds=180):
    """Waits until no move is under way on host1; the receipt of the last one."""
    end = time.monotonic() + seconds
    while lab.host(1).json("migrate status")["moves"]:
        assert time.monotonic() < end, "the move did not end"
        time.sleep(0.1)
    return lab.host(1).json("migrate receipt")


def still_whole(lab, watch):
    """The guest lives: 200 more pulses come, and none of all was lost."""
    time.sleep(0.5)
    mark = len(watch.pulses())
    end = time.monotonic() + 20
    while len(watch.pulses()) < mark + 200:
        assert time.monotonic() < end, f"{len(watch.pulses()) - mark} pulses in 20 s"
        time.sleep(0.1)
    check_pulses(watch.pulses())
    assert b"BAD" not in watch.text()


def test_destination_dies_in_the_middle(lab):
    lab.up(boot="pvh", mem="1G", files=GUEST_FILES)
    watch = lab.start_pulse(mib=32, rate=200)
    before = settled_counters(lab.host(1))
    detached(lab)
    lab.host(2).kill()
    receipt = ended(lab)
    assert receipt["result"] != "ok" and "E-PEER" in receipt["error"]
    assert lab.state(1) == "running"
    still_whole(lab, watch)
    assert leaks(before, settled_counters(lab.host(1), before)) == {}


def test_destination_is_not_there(lab):
    lab.up(boot="pvh", mem="1G", files=GUEST_FILES)
    watch = lab.start_pulse(mib=8)
    lab.host(2).kill()
    failed_move(lab, "E-PEER[A-Z-]*")
    failed_move(lab, "E-NO-SUCH-PEER", "migrate web1 to nowhere")
    still_whole(lab, watch)


@pytest.mark.parametrize("heal_after", (None, 1.0))
def test_link_cut_in_the_middle(lab, heal_after):
    lab.up(boot="pvh", mem="1G", wire="weather", files=GUEST_FILES)
    watch = lab.start_pulse(mib=32, rate=200)
    detached(lab)
    lab.weather("cut")
    if heal_after:
        time.sleep(heal_after)
        lab.weather("heal")
    receipt = ended(lab)
    if receipt["result"] == "ok":
        assert heal_after and lab.state(2) == "running" and lab.state(1) is None
    else:
        assert "E-PEER" in receipt["error"]
        assert lab.state(1) == "running"
        lab.weather("heal")
        end = time.monotonic() + 30
        while lab.state(2) is not None:
            assert time.monotonic() < end, "the destination kept an incomplete copy"
            time.sleep(0.2)
        lab.host(1).run("migrate web1 to host2")
    still_whole(lab, watch)


def test_bad_weather_only_slows_the_move(lab):
    lab.up(boot="pvh", mem="1G", wire="weather", files=GUEST_FILES)
    watch = lab.start_pulse(mib=8, rate=50)
    lab.weather("loss=0.5% dup=0.5% reorder=0.5% corrupt=0.2% delay=1ms seed=7")
    lab.host(1).run("migrate web1 to host2 stun=200ms", timeout=200)
    lab.weather("clear")
    assert lab.state(2) == "running" and lab.state(1) is None
    assert lab.host(2).json("migrate receipt")["digest_match"] is True
    still_whole(lab, watch)


def test_destination_has_no_room(lab):
    lab.up(boot="pvh", mem="1G", files=GUEST_FILES)
    watch = lab.start_pulse(mib=8)
    lab.host(2).run("vm create big kernel=vmlinuz mem=768M")
    before = settled_counters(lab.host(2))
    assert "MiB" in failed_move(lab, "E-NO-MEMORY")
    assert leaks(before, settled_counters(lab.host(2), before)) == {}
    ok, text = lab.host(1).command("migrate check web1 to host2")
    assert not ok and "E-NO-MEMORY" in text
    lab.host(2).run("vm destroy big --yes")
    lab.host(1).run("migrate web1 to host2")
    still_whole(lab, watch)


def test_name_is_taken_at_the_destination(lab):
    lab.up(boot="pvh", mem="1G", files=GUEST_FILES)
    lab.start_pulse(mib=8)
    lab.host(2).run("vm create web1 kernel=vmlinuz mem=72M")
    failed_move(lab, "E-VM-EXISTS")


def test_cancel_at_any_time(lab):
    lab.up(boot="pvh", mem="1G", files=GUEST_FILES)
    watch = lab.start_pulse(mib=32, rate=200)
    before = [settled_counters(lab.host(n)) for n in (1, 2)]
    for wait in (0.0, 0.3, 0.8):
        lab.host(1).run("migrate web1 to host2 rate=200M --detach")
        time.sleep(wait)
        lab.host(1).run("migrate cancel web1")
        receipt = ended(lab)
        assert receipt["result"] == "cancelled" and lab.state(1) == "running"
    still_whole(lab, watch)
    assert [leaks(w, settled_counters(lab.host(n), w)) for n, w in zip((1, 2), before)] == [{}, {}]
    lab.host(1).run("migrate web1 to host2")
    still_whole(lab, watch)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def reachable(lab):
    """One host on a user-mode network: its port 8376 is ours at 127.0.0.1:lab.port, and 10.77.0.254 there is us."""
    lab.port = free_port()
    lab.up(hosts=1, boot="pvh", mem="1G", files=GUEST_FILES,
           user_net=f"net=10.77.0.0/24,host=10.77.0.254,hostfwd=tcp:127.0.0.1:{lab.port}-10.77.0.1:{PORT}")
    return lab


def test_garbage_on_the_port(reachable):
    host = reachable.host(1)
    reachable.start_pulse(mib=8)
    before = settled_counters(host)
    generator = __import__("random").Random(7)
    for size in (0, 1, 15, 16, 64, 4096, 200_000):
        with socket.create_connection(("127.0.0.1", reachable.port), 5) as sock:
            try:
                sock.sendall(generator.randbytes(size))
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(5)
                while sock.recv(4096):
                    pass
            except OSError:
                pass  # a reset is an answer, too
    assert reachable.state(1) == "running"
    assert leaks(before, settled_counters(host, before)) == {}
    assert "migrat" in host.run("host log 40").lower()


def serve(answer):
    """A peer of ours that answers each connection with answer(sock)."""
    server = socket.create_server(("127.0.0.1", PORT))

    def loop():
        while True:
            try:
                sock, _ = server.accept()
            except OSError:
                return
            with sock:
                try:
                    answer(sock)
                except OSError:
                    pass
    threading.Thread(target=loop, daemon=True).start()
    return server


@pytest.mark.parametrize("kind", ("garbage", "echo", "silence"))
def test_a_peer_that_is_no_tern(reachable, kind):
    answers = {
        "garbage": lambda sock: sock.sendall(os.urandom(4096)),
        "echo": lambda sock: sock.sendall(sock.recv(4096)),
        "silence": lambda sock: time.sleep(30),
    }
    watch = reachable.start_pulse(mib=8)
    reachable.host(1).run("peer add odd 10.77.0.254")
    before = settled_counters(reachable.host(1))
    server = serve(answers[kind])
    try:
        failed_move(reachable, "E-[A-Z-]+", "migrate web1 to odd")
    finally:
        server.shutdown(socket.SHUT_RDWR)  # the thread in accept() holds it open otherwise
        server.close()
    still_whole(reachable, watch)
    assert leaks(before, settled_counters(reachable.host(1), before)) == {}
