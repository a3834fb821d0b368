# SPDX-License-Identifier: BSD-2-Clause
"""The main job: a running Linux guest goes from one Tern to another and does not notice."""
import time

import pytest
from conftest import GUEST_FILES
from watch import Watch, check_pulses, leaks, settled_counters

RECEIPT_KEYS = """id vm from to result error rounds total_us stun_us stun_parts bytes_sent pages_sent zero_pages
    guest_ram_bytes throughput_bps throttled_us stun_limit_us predicted_stun_us pages_verified digest_match
    tracking entries_scanned log_entries tracking_exits""".split()
PARTS = "stop harvest send_tail remote_apply verify ready commit resume announce".split()


def move(lab, source, target, options=""):
    text = lab.host(source).run(f"migrate web1 to host{target} {options}")
    assert lab.state(source) is None
    assert lab.state(target) == "running"
    return text


def check_receipt(receipt):
    assert [key for key in RECEIPT_KEYS if key not in receipt] == []
    assert receipt["result"] == "ok" and receipt["digest_match"] is True
    assert [part["name"] for part in receipt["stun_parts"]] == PARTS
    assert abs(sum(part["us"] for part in receipt["stun_parts"]) - receipt["stun_us"]) <= receipt["stun_us"] / 100 + 1
    assert receipt["rounds"] and all(
        {"pages", "zero_pages", "bytes", "dirty_pages", "us"} <= set(each) for each in receipt["rounds"])
    assert receipt["pages_verified"] >= receipt["guest_ram_bytes"] // 4096
    assert 0 < receipt["stun_us"] <= receipt["total_us"]


@pytest.mark.parametrize("boot, cpus, nic, mtu", (
    ("uefi", 1, "e1000", 1500), ("pvh", 2, "e1000", 9000), ("pvh", 1, "virtio-net", 1500), ("pvh", 2, "virtio-net", 9000)))
def test_move_with_pulse(lab, boot, cpus, nic, mtu):
    lab.up(boot=boot, cpus=cpus, nic=nic, mtu=mtu, mem="1G", files=GUEST_FILES)
    watch = lab.start_pulse(mib=16, rate=200)
    begin = time.monotonic()
    text = move(lab, 1, 2)
    assert "stun" in text
    time.sleep(1.5)
    watch.wait(rb"^V \d+ ok", 60, name="host2")
    check_pulses(watch.pulses())
    assert b"BAD" not in watch.text()
    assert len(watch.gaps(begin)) == 1
    source, target = (lab.host(n).json("migrate receipt")for n in (1, 2))
    check_receipt(target)
    assert source["id"] == target["id"] and source["result"] == "ok"


def test_there_and_back_ten_times(lab):
    """Memory, clock and pulse are whole after 20 moves, and both hosts own what they owned before."""
    lab.up(boot="pvh", mem="1G", files=GUEST_FILES)
    watch = lab.start_pulse(mib=32, rate=500)
    move(lab, 1, 2)
    move(lab, 2, 1)
    before = [settled_counters(lab.host(n)) for n in (1, 2)]
    for _ in range(9):
        move(lab, 1, 2)
        move(lab, 2, 1)
    passes = int(watch.wait(rb"^V (\d+) ok", 60)[1])
    assert [leaks(wanted, settled_counters(lab.host(n), wanted)) for n, wanted in zip((1, 2), before)] == [{}, {}]
    watch.wait(rb"^V %d ok" % (passes + 2), 60)
    assert b"BAD" not in watch.text()
    pulses = watch.pulses()
    check_pulses(pulses)
    assert len(watch.gaps()) == 20
    # The guest's clock kept the observer's time over all the moves.
    guest, outside = (pulses[-1][3] - pulses[0][3]) / 1e6, pulses[-1][0] - pulses[0][0]
    assert abs(guest - outside) < 0.02 + outside * 0.002


@pytest.mark.parametrize("mem, host_mem", (("72M", "512M"), ("1G", "2G"), ("4G", "5G")))
def test_other_memory_sizes(lab, mem, host_mem):
    lab.up(boot="pvh", mem=host_mem, files=GUEST_FILES)
    watch = lab.start_pulse(mem=mem, mib=8)
    move(lab, 1, 2)
    watch.wait(rb"^V \d+ ok", 60, name="host2")
    check_pulses(watch.pulses())


def test_an_idle_shell_goes_on_where_it_was(lab):
    lab.up(boot="pvh", mem="1G", files=GUEST_FILES)
    watch = Watch(lab.hosts)
    lab.watches.append(watch)
    lab.create(cmdline="run=shell")
    lab.host(1).run("vm start web1")
    watch.wait(rb"# ", 90)
    watch.socks[0].sendall(b"there=$((40+2))\n")
    watch.wait(rb"=\$\(\(40\+2\)\)\r?\n.*# ", 10)
    move(lab, 1, 2)
    mark = time.monotonic()
    watch.socks[1].sendall(b"echo still-$there\n")
    watch.wait(rb"still-42", 20, name="host2", since=mark)


def test_two_guests_cross(lab):
    """Two moves at once, one in each direction, do not wait for each other."""
    lab.up(boot="pvh", mem="1G", files=GUEST_FILES)
    watch = lab.start_pulse(mib=8)
    lab.create(host=2, name="web2", cmdline="run=pulse mib=8 rate=100", console="")
    lab.host(2).run("vm start web2")
    time.sleep(8)
    lab.host(1).run("migrate web1 to host2 --detach")
    lab.host(2).run("migrate web2 to host1 --detach")
    end = time.monotonic() + 60
    while (lab.state(2), lab.state(1, "web2")) != ("running", "running"):
        assert time.monotonic() < end, "the moves did not end"
        time.sleep(0.2)
    assert (lab.state(1), lab.state(2, "web2")) == (None, None)
    time.sleep(1)
    check_pulses(watch.pulses())


def test_a_limited_rate_is_kept(lab):
    lab.up(boot="pvh", mem="1G", files=GUEST_FILES)
    lab.start_pulse(mib=8)
    move(lab, 1, 2, "rate=100M")
    assert lab.host(1).json("migrate receipt")["throughput_bps"] <= 115e6


def test_what_does_not_converge_is_said_and_cancelled(lab):
    lab.up(boot="pvh", mem="1G", files=GUEST_FILES)
    watch = lab.start_pulse(mib=64, rate=15000)
    lab.host(1).run("migrate web1 to host2 rate=200M --detach")
    end = time.monotonic() + 60
    while "not converging" not in lab.host(1).run("migrate status"):
        assert time.monotonic() < end, "status never said that the move does not converge"
        time.sleep(0.3)
    assert "needs stun=" in lab.host(1).run("migrate status")
    lab.host(1).run("migrate cancel web1")
    assert lab.state(1) == "running"
    time.sleep(0.5)
    assert lab.state(2) is None
    check_pulses(watch.pulses())


def test_check_moves_nothing(lab):
    lab.up(boot="pvh", mem="1G", files=GUEST_FILES)
    lab.start_pulse(mib=8)
    lab.host(1).run("migrate check web1 to host2")
    assert (lab.state(1), lab.state(2)) == ("running", None)
