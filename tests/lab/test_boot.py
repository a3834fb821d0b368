# SPDX-License-Identifier: BSD-2-Clause
"""Tern boots by each way in, on 1, 2 and 4 CPUs, and says what is wrong when it cannot do its work."""
import pytest
from lablib import Console, LabError


@pytest.mark.parametrize("boot, cpus", [("pvh", 1), ("pvh", 2), ("pvh", 4), ("uefi", 1), ("uefi", 2), ("uefi", 4), ("bios", 4)])
def test_prompt(lab, boot, cpus):
    lab.up(hosts=1, boot=boot, cpus=cpus, mem="512M")
    info = lab.host(1).json("host info")
    assert info["ok"] is True
    assert info["name"] == "host1"
    assert info["cpu_count"] == len(lab.host(1).json("host cpu")["cpus"]) == cpus
    assert info["virtualization"] == "AMD-V"


def test_guest_files_from_the_boot_volume(lab):
    lab.up(hosts=1, boot="uefi", mem="512M", files={"odd-size.bin": bytes(range(256)) * 5000 + b"!"})
    ok, text = lab.host(1).command("vm create x kernel=odd-size.bin mem=64M")
    assert not ok and "neither a Linux bzImage nor an ELF" in text
    ok, text = lab.host(1).command("vm create x kernel=nothing.bin mem=64M")
    assert not ok and "no such file" in text and "nothing.bin" in text


def test_wrong_lines_of_the_configuration_are_named(lab):
    lab.up(hosts=1, boot="pvh", mem="512M", conf="[host]\nadress 10.77.0.1\n[peer]\nx = y\n")
    log = lab.host(1).log()
    assert "tern.conf" in log and "line" in log
    assert lab.host(1).json("host info")["ok"] is True


def test_without_a_virtualization_extension(lab):
    lab.up(hosts=1, boot="pvh", mem="512M", files={"k": b"x"}, qemu_cpu_model="qemu64,-svm")
    log = lab.host(1).log()
    assert "AMD-V" in log
    ok, text = lab.host(1).command("vm create x kernel=k mem=64M")
    if ok:
        ok, text = lab.host(1).command("vm start x")
    assert not ok and "AMD-V" in text


def test_too_little_memory_for_a_guest(lab):
    lab.up(hosts=1, boot="pvh", mem="256M", files={"k": b"x"})
    ok, text = lab.host(1).command("vm create x kernel=k mem=1G")
    assert not ok and "(E-NO-MEMORY)" in text


def test_the_console_edits_completes_and_explains(lab):
    lab.up(hosts=1, boot="pvh", mem="512M")
    console = Console(lab.host(1).dir / "console")
    console.send(b"host inXfo\x1b[D\x1b[D\x7f\r")     # left, left, delete back
    assert b"up  " in console.read_until(rb"\nok\r\n", 10)
    console.read_until(rb"> $", 10)
    console.send(b"host mem\t\r")
    console.read_until(rb"\nok\r\n", 10)
    console.send(b"frobnicate\r")
    assert b"(E-" in console.read_until(rb"error: [^\n]*\n", 10)
    console.close()
    assert "vm create" in lab.host(1).run("help")
    assert "E-NO-SUCH-VM" in lab.host(1).run("help errors")
    ok, text = lab.host(1).command("vm show nobody")
    assert not ok and "(E-NO-SUCH-VM)" in text
    assert lab.host(1).json("vm show nobody")["ok"] is False


def test_two_hosts_see_each_other(lab):
    for nic in ("e1000", "virtio-net"):
        lab.up(hosts=2, boot="pvh", mem="512M", nic=nic)
        lab.host(1).run("net ping 10.77.0.2")
        peers = lab.host(1).json("peer list")["peers"]
        assert [peer["name"] for peer in peers] == ["host2"]
        lab.down()


def test_a_lab_that_cannot_start_says_why(lab):
    with pytest.raises(LabError, match="no prompt|stopped"):
        lab.up(hosts=1, boot="pvh", mem="8M", timeout=8)
