# SPDX-License-Identifier: BSD-2-Clause
"""Started by PXE from QEMU's own TFTP server: the loader fetches what tern.conf names."""
import shutil

import pytest

from lablib import BUILD

CONFIG = "[host]\nname = {}\nfiles = extra.bin \"odd name.bin\"\n[vm web1]\nkernel = kernel.bin # no kernel\n" \
         "mem = 64M\ninitrd = missing.gz\n"
MAC = "52:54:00:aa:bb:0f"


@pytest.fixture
def server(tmp_path):
    """A server's folder with Tern in a folder of it."""
    files = tmp_path / "net/tern"
    files.mkdir(parents=True)
    shutil.copy(BUILD / "BOOTX64.EFI", tmp_path / "net")
    (files / "tern.conf").write_text(CONFIG.format("anyone"))
    for name, size in (("extra.bin", 1468 * 40), ("odd name.bin", 0), ("kernel.bin", 100001)):
        (files / name).write_bytes(b"x" * size)
    return tmp_path


def boot(lab, server):
    network = f"user,id=n0,net=10.77.0.0/24,tftp={server},bootfile=net/BOOTX64.EFI"
    card = f"virtio-net-pci,netdev=n0,mac={MAC},romfile=,bootindex=0"
    lab.boot_medium("uefi", ["-netdev", network, "-device", card], timeout=180)
    return lab.host(1)


def test_files_come_from_the_server(lab, server):
    host = boot(lab, server)
    info = host.json("host info")
    assert info["loader"] == "UEFI" and info["name"] == "anyone"
    assert "loader: missing.gz: not on the TFTP server" in host.log()
    for name in ("extra.bin", "odd name.bin", "kernel.bin"):
        ok, text = host.command(f'vm create x kernel="{name}" mem=64M')
        assert not ok and "neither a Linux bzImage nor an ELF" in text, name
    ok, text = host.command("vm create x kernel=missing.gz mem=64M")
    assert not ok and "no such file" in text


def test_a_machine_has_a_configuration_of_its_own(lab, server):
    (server / "net/tern" / f"tern-{MAC.replace(':', '-')}.conf").write_text("[host]\nname = mine\n")
    host = boot(lab, server)
    assert host.json("host info")["name"] == "mine"
    assert "warning: loader" not in host.log()


def test_without_a_configuration_it_says_where_to_put_one(lab, server):
    shutil.rmtree(server / "net/tern")
    host = boot(lab, server)
    assert "loader: tern.conf: not on the TFTP server: put it into the folder tern beside BOOTX64.EFI" in host.log()
