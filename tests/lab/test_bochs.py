# SPDX-License-Identifier: BSD-2-Clause
"""
Tern on VT-x, in Bochs: Linux runs, guests move, the hardware's log of dirtied pages is worth its name,
and a host of the other maker is refused.

Two machines in Bochs take a frame a millisecond each, and a move through that needs more than the
5 ms that a stun may last otherwise. Most guests here are tests/guest/b_pulse.c: they say what Linux's
pulse program says, and there is little of them to be sent.
"""
import re
import time

from conftest import GUEST, GUEST_FILES
from watch import Watch, check_pulses

PULSE_FILES = {"pulse": GUEST / "b_pulse.elf"}
STUN = "stun=1000ms"
LONG = 600      # seconds for what takes a few on a quiet machine


def start_pulse(lab, host, options, name="web1", mem="40M"):
    """The observer of a tiny guest that pulses."""
    watch = Watch(lab.hosts)
    lab.watches.append(watch)
    lab.host(host).run(f'vm create {name} kernel=pulse mem={mem} console=com2 cmdline="{options}"')
    lab.host(host).run(f"vm start {name}")
    watch.wait(rb"^P 20 ", 120)
    return watch


def receipt(lab, host):
    return lab.host(host).json("migrate receipt")


def test_linux_boots_on_vt_x(lab):
    lab.up(hosts=1, cpu="intel", mem="512M", files=GUEST_FILES)
    assert lab.host(1).json("host info")["virtualization"] == "VT-x"
    watch = Watch(lab.hosts)
    lab.watches.append(watch)
    lab.create(mem="96M", cmdline="run=report cryptomgr.notests")
    lab.host(1).run("vm start web1")
    watch.wait(rb"INTERRUPTS END", LONG)
    text = watch.text().decode(errors="replace").replace("\r", "")
    assert "GUEST UP" in text
    assert "CLOCKSOURCE kvm-clock" in text or "CLOCKSOURCE tsc" in text
    assert re.search(r"BUG|Oops|Call Trace|soft lockup", text) is None
    end = time.monotonic() + 120
    while lab.state(1) != "stopped" and time.monotonic() < end:
        time.sleep(0.2)
    assert lab.state(1) == "stopped"


def test_there_and_back_five_times(lab):
    lab.up(cpu="intel", mem="256M", files=PULSE_FILES)
    watch = start_pulse(lab, 1, "mib=2 rate=20")
    for source, target in ((1, 2), (2, 1)) * 5:
        lab.host(source).run(f"migrate web1 to host{target} {STUN}", LONG)
        assert lab.state(source) is None and lab.state(target) == "running"
        for each in (source, target):
            assert receipt(lab, each)["result"] == "ok"
        assert receipt(lab, target)["digest_match"] is True
    passes = int(watch.text().rsplit(b"\nV ", 1)[1].split()[0])
    watch.wait(rb"^V %d ok" % (passes + 2), 120)
    assert b"BAD" not in watch.text()
    check_pulses(watch.pulses())
    assert len(watch.gaps()) == 10


def test_the_hardwares_log_is_worth_its_exits(lab):
    """PML: of a move whose guest writes all the time, counted by the receipt."""
    lab.up(cpu="intel", mem="256M", files=PULSE_FILES)
    assert lab.host(1).json("host cpu")["dirty_tracking"]["method"] == "log"
    watch = start_pulse(lab, 1, "mib=2 rate=2000")
    lab.host(1).run("migrate web1 to host2 stun=5000ms", LONG)
    moved = receipt(lab, 1)
    assert moved["result"] == "ok" and moved["tracking"] == "log"
    assert sum(each["dirty_pages"] for each in moved["rounds"]) > 500 and moved["log_entries"] > 500
    # A full buffer of 512 entries is an exit (SDM 3C 29.3.6); what is found in it at other exits costs none.
    assert moved["tracking_exits"] * 256 <= moved["log_entries"]
    watch.wait(rb"^V \d+ ok", 120, name="host2")
    assert b"BAD" not in watch.text()
    check_pulses(watch.pulses())


def refused(lab, source, target, name):
    """The other maker's host is refused in the check and in the move, before a page has been sent."""
    for command in (f"migrate check {name} to host{target}", f"migrate {name} to host{target} {STUN}"):
        ok, text = lab.host(source).command(command, LONG)
        assert not ok and "E-CPU-VENDOR" in text, text
        assert lab.state(source, name) == "running"
        assert lab.state(target, name) is None
    kept = receipt(lab, source)
    assert kept["vm"] == name and kept["error"] == "E-CPU-VENDOR" and kept["pages_sent"] == 0


def test_makers_of_cpus_refuse_each_other(lab):
    lab.up(cpu="amd,intel", boot="pvh", mem="256M", files=PULSE_FILES)
    watch = start_pulse(lab, 1, "mib=1")
    refused(lab, 1, 2, "web1")
    lab.host(2).run('vm create web2 kernel=pulse mem=40M cmdline="mib=1"')
    lab.host(2).run("vm start web2")
    refused(lab, 2, 1, "web2")
    check_pulses(watch.pulses())
