# SPDX-License-Identifier: BSD-2-Clause
"""The lab's own parts, without an emulator: what keeps a Bochs' serial port and its wire loses nothing."""
import importlib.machinery
import importlib.util
import selectors
import socket
import threading

import bochs_host
import pytest
from conftest import ROOT
from lablib import Lab, LabError, choose_emulators

loader = importlib.machinery.SourceFileLoader("wire", str(ROOT / "tools/wire"))
wire = importlib.util.module_from_spec(importlib.util.spec_from_loader("wire", loader))
loader.exec_module(wire)


@pytest.fixture
def port(tmp_path):
    """(the emulator's end, path of the clients' socket, path of the log) of a serial port that is served."""
    selector = selectors.DefaultSelector()
    is_over = threading.Event()
    with open(tmp_path / "log", "wb", buffering=0) as log:
        served = bochs_host.SerialPort(selector, tmp_path / "console", log)
        machine = socket.create_connection(("127.0.0.1", served.number), timeout=20)

        def serve():
            while not is_over.is_set():
                for key, events in selector.select(0.05):
                    key.data(events)

        thread = threading.Thread(target=serve)
        thread.start()
        yield machine, tmp_path / "console", tmp_path / "log"
        is_over.set()
        thread.join()
        machine.close()


def client(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(20)
    sock.connect(str(path))
    return sock


def receive(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        assert piece, f"closed after {len(data)} of {count} bytes"
        data += piece
    return data


def test_clients_come_one_after_another(port):
    machine, path, log = port
    for number in range(3):
        sock = client(path)
        sock.sendall(b"in %d" % number)
        assert receive(machine, 4) == b"in %d" % number
        machine.sendall(b"out %d" % number)
        assert receive(sock, 5) == b"out %d" % number
        sock.close()
    assert log.read_bytes() == b"out 0out 1out 2"


def test_a_slow_client_loses_nothing(port):
    machine, path, log = port
    sock = client(path)
    sock.sendall(b"?")
    receive(machine, 1)     # from here on it is connected
    much = bytes(range(256)) * 20000
    sender = threading.Thread(target=machine.sendall, args=(much,))
    sender.start()
    assert receive(sock, len(much)) == much
    sender.join()
    assert log.read_bytes() == much
    sock.close()


def test_a_receiver_that_takes_its_time_gets_each_frame(tmp_path):
    """As Bochs does: UDP by itself would drop most of these."""
    port = wire.UdpPort(str(tmp_path / "1"), None)
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", int((tmp_path / "1").read_text())))
    receiver.settimeout(5)
    sent = taken = held_back = 0
    while taken < 2000:
        try:
            if sent < 2000:
                port.try_send(b"%04d" % sent + bytes(1496))
                sent += 1
                continue
        except BlockingIOError:
            held_back += 1
        assert receiver.recv(2048)[:4] == b"%04d" % taken
        taken += 1
    assert held_back > 0
    receiver.close()
    port.sock.close()


def test_what_bochs_has_not_is_said(tmp_path):
    for option in ({"nic": "virtio-net"}, {"mtu": 9000}, {"disks": {1: ["1G"]}}):
        with pytest.raises(LabError, match="Bochs has one card"):
            Lab(tmp_path / "lab").up(cpu="amd,ryzen", **option)
    with pytest.raises(LabError, match="names 3 hosts, but there are 2"):
        choose_emulators("amd,intel,ryzen", 2, "tcg")
    with pytest.raises(LabError, match="there are amd, intel, ryzen"):
        choose_emulators("sparc", 1, "tcg")
