# SPDX-License-Identifier: BSD-2-Clause
"""Network cards, several of them, VLANs, and a network of its own for moves."""
import re
import time

import pytest
from conftest import GUEST_FILES
from lablib import has_device
from watch import check_pulses

# The second card of each host is the network for moves, on VLAN 100.
TWO_CARDS = """[host]
migration_nic = moves
[nic moves]
mac = 52:54:00:4d:01:0{n}
address = 10.78.0.{n}/24
%s
[peer host1]
address = 10.78.0.1
[peer host2]
address = 10.78.0.2
"""


def links(lab, host):
    return lab.host(host).json("net show")["links"]


def await_links(lab):
    end = time.monotonic() + 20
    while not all(link["is_link_up"] for host in lab.hosts for link in links(lab, host.number)):
        assert time.monotonic() < end, "a link does not come up"
        time.sleep(0.1)


def drops(lab, host):
    return {key: count for link in links(lab, host) for key, count in link["drops"].items() if count}


def wire_counts(lab, card):
    return {key: int(count) for key, count in re.findall(r"(\w+)=(\d+)", lab.weather("show", card))}


@pytest.mark.parametrize("nic, mtu, cut", (("e1000e", 1500, "tern"), ("e1000e", 9000, "tern"),
                                           ("igb", 1500, "card"), ("igb", 9000, "card")))
def test_a_move_over_each_card(lab, nic, mtu, cut):
    if not has_device(nic):
        pytest.skip(f"this QEMU has no model of {nic}: Debian 12's is too old, Debian 13's has one")
    lab.up(boot="pvh", nic=nic, mtu=mtu, mem="1G", files=GUEST_FILES)
    await_links(lab)
    lab.host(1).run("net ping 10.77.0.2")
    watch = lab.start_pulse(mib=16, rate=200)
    lab.host(1).run("migrate web1 to host2")
    watch.wait(rb"^V \d+ ok", 60, name="host2")
    check_pulses(watch.pulses())
    link = links(lab, 1)[0]
    assert (link["driver"], link["interrupt"], link["mtu_bytes"]) == (nic, "msi-x", mtu)
    assert link[f"tx_cut_by_{cut}"] > 100 and link["is_cut_by_card"] is (cut == "card")
    assert (drops(lab, 1), drops(lab, 2)) == ({}, {})


def test_moves_keep_to_their_own_card(lab):
    lab.up(boot="pvh", nic="e1000,e1000e", mem="1G", files=GUEST_FILES, conf=TWO_CARDS % "vlan = 100\nmtu = 9000")
    watch = lab.start_pulse(mib=8)
    lab.host(1).run("migrate web1 to host2")
    watch.wait(rb"^V \d+ ok", 60, name="host2")
    check_pulses(watch.pulses())
    for host in (1, 2):
        plain, moves = links(lab, host)
        assert (plain["name"], plain["vlan"], plain["is_for_migration"]) == ("net0", 0, False)
        assert (moves["name"], moves["vlan"], moves["is_for_migration"]) == ("moves", 100, True)
        assert (moves["address"], moves["mtu_bytes"]) == (f"10.78.0.{host}", 9000)
        # 8 MiB and more on one card, and nothing but ARP on the other.
        assert moves["tx_bytes" if host == 1 else "rx_bytes"] > 8 << 20
        assert plain["tx_bytes"] + plain["rx_bytes"] < 1000


def test_frames_have_the_tag_of_their_network(lab):
    lab.up(boot="pvh", nic="e1000,e1000e", wire="weather", mem="512M", conf=TWO_CARDS % "vlan = 100")
    for address in ("10.77.0.2", "10.78.0.2"):
        lab.host(1).run(f"net ping {address} count=10")
    plain, moves = (wire_counts(lab, card) for card in (0, 1))
    assert plain["frames"] >= 20 and plain["tagged"] == 0
    assert moves["frames"] >= 20 and moves["tagged"] == moves["frames"]


def test_another_vlan_is_another_network(lab):
    lab.up(boot="pvh", nic="e1000,e1000e", mem="1G", files=GUEST_FILES, conf=TWO_CARDS % "vlan = 10{n}")
    watch = lab.start_pulse(mib=8)
    ok, text = lab.host(1).command("migrate web1 to host2")
    assert not ok and "no connection to 10.78.0.2 over moves (VLAN 101)" in text and "E-PEER-UNREACHABLE" in text
    assert lab.state(1) == "running" and lab.state(2) is None
    assert drops(lab, 2)["rx_drop_vlan"] > 0
    check_pulses(watch.pulses())


def test_a_network_for_moves_that_is_not_there(lab):
    lab.up(hosts=1, boot="pvh", mem="1G", files=GUEST_FILES, conf="[host]\nmigration_nic = moves\n")
    assert re.search(r"tern\.conf line \d+: migration_nic=moves is neither", lab.host(1).log())
    lab.create(console="", cmdline="run=shell")
    lab.host(1).run("vm start web1")
    ok, text = lab.host(1).command("migrate web1 to 10.77.0.2")
    assert not ok and "E-MIGRATION-NIC" in text and "migration_nic" in text
    assert lab.state(1) == "running"
