# SPDX-License-Identifier: BSD-2-Clause
"""Terns in emulators: what tools/lab, the lab tests, the demo and the benches share.

A lab is a directory. Host N (from 1) has hostN/console and hostN/com2 (UNIX sockets
of its serial ports), hostN/log (everything COM1 ever printed) and hostN/pid. Nothing
else is kept, so any process can use a lab that another one started.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import bochs_host
from media import BUILD, ROOT, ToolError, write_cpio, write_image, write_volume

PROMPT = re.compile(rb"tern:[^\s>]+> $")
OVMF_PAIRS = [("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"), ("OVMF_CODE.fd", "OVMF_VARS.fd")]


LabError = ToolError


def parse_size(text):
    """'2G' or '256M' or '4096' (MiB) as MiB."""
    match = re.fullmatch(r"(\d+)([MG]?)", text)
    if not match:
        raise LabError(f"size '{text}' is not a number with M or G: write for example 2G")
    return int(match[1]) * (1024 if match[2] == "G" else 1)


def host_address(number, card=0):
    """The second card's wire is 10.78.0.0/24, and so on."""
    return f"10.{77 + card}.0.{number}"


def card_mac(number, card=0):
    return f"52:54:00:4d:{card:02x}:{number:02x}"


def wire_path(path, card):
    """The name of something that each wire has: the first card's is without a number."""
    return path.with_name(f"{path.name}.{card}") if card else path


def has_device(name):
    """Whether this machine's QEMU knows a device."""
    answer = subprocess.run(["qemu-system-x86_64", "-device", f"{name},help"], capture_output=True, text=True)
    return "options:" in answer.stdout


def host_config(number, hosts, mtu, conf, cards=1):
    """
    tern.conf of a host. conf (text) adds to it, with {n} for the host's number; a [peer] section in conf
    replaces the default peers, a [nic] section the addresses of further cards.
    """
    lines = ["[host]", f"name = host{number}", f"address = {host_address(number)}/24", f"mtu = {mtu}"]
    extra = (conf or "").replace("{n}", str(number))
    match = re.match(r"(?s)\s*\[host\][^\n]*\n(.*?)(?=^\[|\Z)", extra, re.M)
    if match:
        own = {line.split("=")[0].strip() for line in match[1].splitlines() if "=" in line}
        lines = [line for line in lines if line.split("=")[0].strip() not in own]
        lines += match[1].splitlines()
        extra = extra[match.end():]
    if "[nic" not in extra:
        for card in range(1, cards):
            lines += [f"[nic net{card}]", f"address = {host_address(number, card)}/24"]
    if "[peer" not in extra:
        for peer in range(1, hosts + 1):
            if peer != number:
                lines += [f"[peer host{peer}]", f"address = {host_address(peer)}"]
    return "\n".join(lines) + "\n" + extra


def find_ovmf():
    for code, variables in OVMF_PAIRS:
        folder = Path("/usr/share/OVMF")
        if (folder / code).exists():
            return folder / code, folder / variables
    raise LabError("no OVMF firmware in /usr/share/OVMF: run tools/setup, or use --boot pvh")


def qemu_cpu(accel):
    if accel == "kvm":
        return "host"
    models = subprocess.run(["qemu-system-x86_64", "-cpu", "help"], capture_output=True, text=True).stdout
    model = "EPYC-v4" if re.search(r"^x86 EPYC-v4\b", models, re.M) else "EPYC"
    return f"{model},+svm,+npt"


def choose_accel(wanted, cpu):
    """'kvm' only where KVM really offers nested virtualization of that vendor."""
    module = Path("/sys/module/kvm_amd" if cpu == "amd" else "/sys/module/kvm_intel") / "parameters/nested"
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK) and module.exists() and module.read_text().strip() in "1Y"
    if wanted == "kvm" and not usable:
        raise LabError(f"--accel kvm: KVM here offers no nested virtualization for {cpu}: use --accel tcg")
    return "kvm" if wanted in ("kvm", "auto") and usable else "tcg"


def choose_emulators(cpu, hosts, accel):
    """
    (vendor, "qemu" or "bochs", accelerator) of each host. cpu is one word for all hosts, or one for each: amd
    (QEMU), intel (Bochs, or QEMU where KVM offers VT-x), ryzen (AMD-V in Bochs, to have a second opinion).
    """
    words = cpu.split(",")
    if len(words) == 1:
        words *= hosts
    if len(words) != hosts:
        raise LabError(f"--cpu {cpu} names {len(words)} hosts, but there are {hosts}: one word for all, or one for each")
    chosen = []
    for word in words:
        if word not in ("amd", *bochs_host.MODELS):
            raise LabError(f"--cpu {word}: there are amd, {', '.join(bochs_host.MODELS)}")
        vendor_accel = choose_accel(accel, word) if word != "ryzen" else "tcg"
        is_bochs = word in bochs_host.MODELS and vendor_accel != "kvm"
        chosen.append((word, "bochs" if is_bochs else "qemu", vendor_accel))
    return chosen


class Console:
    """COM1 of a host: types commands and reads answers."""

    def __init__(self, path, timeout=60):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(str(path))
        self.buffer = b""

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def read_until(self, pattern, timeout=60):
        """Everything up to and including the first match of pattern (bytes regex)."""
        end = time.monotonic() + timeout
        pattern = re.compile(pattern) if isinstance(pattern, bytes) else pattern
        while True:
            match = pattern.search(self.buffer)
            if match:
                found, self.buffer = self.buffer[:match.end()], self.buffer[match.end():]
                return found
            left = end - time.monotonic()
            if left <= 0:
                tail = self.buffer[-600:].decode(errors="replace")
                raise LabError(f"the console did not print {pattern.pattern!r} within {timeout} s; its last words:\n{tail}")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except socket.timeout:
                continue
            if not data:
                raise LabError("the console closed: the host has stopped; see its log")
            self.buffer += data

    def command(self, line, timeout=120, on_output=None):
        """Types a line; (True if ok, the answer's text without echo and prompt)."""
        self.buffer = b""
        self.send(b"\x15" + line.encode() + b"\r")
        end = time.monotonic() + timeout
        done = re.compile(rb"(?:^|\n)(ok|error: [^\n]*|\{[^\n]*\"ok\": ?(?:true|false)[^\n]*)\r?\n"
                          rb"(?:.*\n)*?[^\n]*tern:[^\s>]+> $")
        shown = 0
        while True:
            match = done.search(self.buffer)
            if match:
                break
            left = end - time.monotonic()
            if left <= 0:
                tail = self.buffer[-600:].decode(errors="replace")
                raise LabError(f"no answer to '{line}' within {timeout} s; the last words:\n{tail}")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except socket.timeout:
                continue
            if not data:
                raise LabError(f"the console closed during '{line}': the host has stopped; see its log")
            self.buffer += data
            if on_output:
                on_output(data)
        text = self.buffer.decode(errors="replace").replace("\r\n", "\n")
        verdict = match[1]
        ok = verdict == b"ok" or b'"ok": true' in verdict or b'"ok":true' in verdict
        # What was typed is echoed first; the prompt comes last.
        body = text.split("\n", 1)[1] if "\n" in text else ""
        body = body.rsplit("\n", 1)[0] + "\n"
        self.buffer = b""
        return ok, body


class Host:
    def __init__(self, lab, number):
        self.lab, self.number, self.name = lab, number, f"host{number}"
        self.dir = lab.dir / self.name

    @property
    def pid(self):
        return int((self.dir / "pid").read_text())

    def is_alive(self):
        try:
            os.kill(self.pid, 0)
            state = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            return state != "Z"
        except (OSError, ValueError):
            return False

    def log(self):
        path = self.dir / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def console(self, timeout=60):
        return Console(self.dir / "console", timeout)

    def com2(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(str(self.dir / "com2"))
        return sock

    def command(self, line, timeout=120):
        """(ok, text) of a console command."""
        console = self.console()
        try:
            return console.command(line, timeout)
        finally:
            console.close()

    def run(self, line, timeout=120):
        """The text of a command that must succeed."""
        ok, text = self.command(line, timeout)
        if not ok:
            raise LabError(f"{self.name}: '{line}' answered: {text.strip()}")
        return text

    def json(self, line, timeout=120):
        """The parsed answer of a command with --json, ok or not."""
        _, text = self.command(line + " --json", timeout)
        for candidate in reversed(text.splitlines()):
            if candidate.startswith("{"):
                return json.loads(candidate)
        raise LabError(f"{self.name}: '{line} --json' answered no JSON: {text.strip()}")

    def kill(self):
        """Pulls the plug."""
        try:
            os.kill(self.pid, signal.SIGKILL)
        except (OSError, ValueError):
            return
        end = time.monotonic() + 10
        while self.is_alive() and time.monotonic() < end:
            time.sleep(0.02)


class Lab:
    def __init__(self, directory):
        self.dir = Path(directory).resolve()

    def host(self, number):
        return Host(self, int(str(number).removeprefix("host")))

    @property
    def hosts(self):
        return [self.host(p.name) for p in sorted(self.dir.glob("host*")) if p.is_dir()]

    # ---- starting

    def up(self, hosts=2, cpu="amd", cpus=1, mem="2G", nic="e1000", mtu=1500, boot="uefi", accel="tcg",
           wire="direct", files=None, conf=None, disks=None, user_net="restrict=on", qemu_cpu_model=None, timeout=None):
        """
        Starts the hosts and returns when each shows its prompt. files: {name: path or bytes}. nic: a model, or
        several with commas between them; each card has a wire of its own to the other hosts' cards of the same number.
        A lab of one host hangs on QEMU's user-mode network, with user_net as its options; Bochs has no wire
        then. What runs in Bochs starts by BIOS, whatever boot says.
        """
        emulators = choose_emulators(cpu, hosts, accel)
        has_bochs = any(emulator == "bochs" for _, emulator, _ in emulators)
        if has_bochs and (nic != "e1000" or mtu != 1500 or disks):
            raise LabError("Bochs has one card that Tern drives, e1000, for frames of 1500 bytes, and no NVMe: "
                           "leave --nic, --mtu and --disk out, or use --cpu amd")
        for need in ("tern.elf", "BOOTX64.EFI"):
            if not (BUILD / need).exists():
                raise LabError(f"{BUILD / need} is missing: run make first")
        if self.dir.exists() and any(host.is_alive() for host in self.hosts):
            raise LabError(f"{self.dir} is a running lab: tools/lab down {self.dir} first")
        if len(str(self.dir)) > 80:
            raise LabError(f"{self.dir} is too long a path for UNIX sockets: use a shorter one")
        for old in self.hosts if self.dir.exists() else []:
            shutil.rmtree(old.dir)
        for old in self.dir.glob("direct*"):
            old.unlink()
        self.dir.mkdir(parents=True, exist_ok=True)
        relay = hosts > 1 and (wire == "weather" or hosts > 2 or has_bochs)
        nics = nic.split(",")
        if "igb" in nics and not has_device("igb"):
            raise LabError("--nic igb: this QEMU has no model of the 82576: use QEMU 8.0 or newer, or another card")
        for card in range(len(nics) if relay else 0):
            self._start_wire(["udp" if emulator == "bochs" else "unix" for _, emulator, _ in emulators], card)
        for number, (vendor, emulator, accel) in enumerate(emulators, 1):
            folder = self.dir / f"host{number}"
            folder.mkdir(parents=True)
            volume = {"tern.conf": host_config(number, hosts, mtu, conf, len(nics)).encode(), **(files or {})}
            if emulator == "bochs":
                self._spawn(folder, self._bochs_command(number, cpus, mem, vendor, hosts, volume), [folder / "pid"])
                continue
            command = self._qemu_command(number, cpus, mem, nics, boot, accel, relay, hosts, volume, qemu_cpu_model, user_net)
            for index, size in enumerate((disks or {}).get(number, [])):
                image = folder / f"disk{index}.img"
                with open(image, "wb") as out:
                    out.truncate(parse_size(size) * 2**20)
                command += ["-drive", f"if=none,id=d{index},format=raw,file={image}",
                            "-device", f"nvme,drive=d{index},serial=tern{index}"]
            # A client that finds no server on the direct wire does not try again.
            is_server = number == 1 and hosts > 1 and not relay
            server = [wire_path(self.dir / "direct", card) for card in range(len(nics) if is_server else 0)]
            self._spawn(folder, command, [folder / "com2"] + server)
        for host in self.hosts:
            self._await_prompt(host, timeout or (600 if has_bochs else 90))
        return self

    def _spawn(self, folder, command, needed):
        """Starts a command that makes the files in needed; if pid is not one of them, its own is put there."""
        with open(folder / "stderr", "wb") as err:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
                                       start_new_session=True)
        if folder / "pid" not in needed:
            (folder / "pid").write_text(str(process.pid))
        (folder / "command").write_text(" ".join(command) + "\n")
        # Whoever connects to this host's sockets or its wire next must find them.
        end = time.monotonic() + 20
        while not all(socket_path.exists() for socket_path in needed):
            if process.poll() is not None:
                raise LabError(f"{folder.name}: the emulator did not start: {(folder / 'stderr').read_text().strip()}")
            if time.monotonic() > end:
                raise LabError(f"{folder.name}: the emulator did not open its sockets within 20 s")
            time.sleep(0.01)

    def _start_wire(self, kinds, card):
        (self.dir / "wire").mkdir(exist_ok=True)
        weather = wire_path(self.dir / "weather", card)
        for old in [weather] + [wire_path(self.dir / f"wire/{number}", card) for number in range(1, len(kinds) + 1)]:
            old.unlink(missing_ok=True)
        errors = wire_path(self.dir / "wire/stderr", card)
        process = subprocess.Popen([sys.executable, str(ROOT / "tools/wire"), str(self.dir), str(card), *kinds],
                                   stdin=subprocess.DEVNULL, start_new_session=True,
                                   stdout=subprocess.DEVNULL, stderr=open(errors, "wb"))
        wire_path(self.dir / "wire/pid", card).write_text(str(process.pid))
        end = time.monotonic() + 10
        while not weather.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise LabError("the wire did not start: " + errors.read_text())
            time.sleep(0.01)

    def boot_core(self, vendor, core, cpus=1, mem="256M"):
        """One host, host1, in Bochs: starts BUILD/core in the place of Tern's, and does not wait for a prompt."""
        folder = self.dir / "host1"
        folder.mkdir(parents=True)
        self._spawn(folder, self._bochs_command(1, cpus, mem, vendor, 1, {}, core), [folder / "pid"])
        return self

    def _bochs_command(self, number, cpus, mem, vendor, hosts, volume, core="tern.stripped"):
        folder = self.dir / f"host{number}"
        try:
            socket.gethostbyname("localhost") # Bochs' wire asks for it, and dies without a word if there is none
        except OSError:
            raise LabError("this machine has no address for 'localhost': add the line '127.0.0.1 localhost' to /etc/hosts")
        image = folder / "disk.img"
        write_image(image, volume, core=core)
        command = [sys.executable, str(ROOT / "tools/bochs_host.py"), str(folder), "--model", bochs_host.MODELS[vendor],
                   "--image", str(image), "--cpus", str(cpus), "--mem", str(parse_size(mem)),
                   "--mac", f"52:54:00:4d:00:{number:02x}"]
        if hosts > 1:
            # Alone a machine may hurry through its idle time; two that talk must agree on what a second is.
            command += ["--sync", "slowdown", "--ips", "15000000", "--net", (self.dir / f"wire/{number}").read_text()]
        return command

    def _qemu_command(self, number, cpus, mem, nics, boot, accel, relay, hosts, volume, cpu_model,
                      user_net):
        folder = self.dir / f"host{number}"
        command = self._machine_arguments(folder, cpus, mem, accel, cpu_model)
        if boot == "pvh":
            write_cpio(folder / "files.cpio", volume)
            command += ["-kernel", str(BUILD / "tern.elf"), "-initrd", str(folder / "files.cpio")]
        elif boot == "bios":
            write_image(folder / "tern.iso", volume)
            command += ["-drive", f"if=ide,format=raw,file={folder}/tern.iso"]
        else:
            write_volume(folder / "esp.img", volume)
            command += self._ovmf_arguments(folder) + ["-drive", f"if=ide,format=raw,file={folder}/esp.img"]
        for card, nic in enumerate(nics):
            command += self._card(number, card, nic, relay, hosts, user_net)
        return command

    def _card(self, number, card, nic, relay, hosts, user_net):
        device = {"virtio-net": "virtio-net-pci"}.get(nic, nic)
        if relay:
            wire = (f"dgram,local.type=unix,local.path={wire_path(self.dir / f'host{number}/net', card)},"
                    f"remote.type=unix,remote.path={wire_path(self.dir / f'wire/{number}', card)}")
        elif hosts == 1:
            wire = f"user,{user_net}"
        else:
            wire = (f"stream,server={'on' if number == 1 else 'off'},addr.type=unix,"
                    f"addr.path={wire_path(self.dir / 'direct', card)}")
        return ["-netdev", f"{wire},id=n{card}", "-device", f"{device},netdev=n{card},mac={card_mac(number, card)},romfile="]

    @staticmethod
    def _machine_arguments(folder, cpus, mem, accel, cpu_model):
        """Machine and devices are written out so that each QEMU release gives the same hardware."""
        return ["qemu-system-x86_64", "-name", folder.name, "-machine", "pc", "-accel",
                "kvm" if accel == "kvm" else "tcg,thread=multi", "-cpu", cpu_model or qemu_cpu(accel),
                "-smp", str(cpus), "-m", str(parse_size(mem)), "-nodefaults", "-no-user-config", "-display", "none",
                "-chardev", f"socket,id=com1,path={folder}/console,server=on,wait=off,logfile={folder}/log",
                "-serial", "chardev:com1",
                "-chardev", f"socket,id=com2,path={folder}/com2,server=on,wait=off", "-serial", "chardev:com2"]

    @staticmethod
    def _ovmf_arguments(folder):
        code, variables = find_ovmf()
        shutil.copy(variables, folder / "ovmf_vars.fd")
        return ["-drive", f"if=pflash,format=raw,readonly=on,file={code}",
                "-drive", f"if=pflash,format=raw,file={folder}/ovmf_vars.fd"]

    def boot_medium(self, firmware, arguments, mem="512M", prompt=True, timeout=90):
        """One host, host1, started by "uefi" or "bios" from what the QEMU arguments name, and no network else."""
        folder = self.dir / "host1"
        folder.mkdir(parents=True)
        command = self._machine_arguments(folder, 1, mem, "tcg", None) + arguments
        if firmware == "uefi":
            command += self._ovmf_arguments(folder)
        self._spawn(folder, command, [folder / "com2"])
        if prompt:
            self._await_prompt(self.host(1), timeout)
        return self

    def _await_prompt(self, host, timeout):
        end = time.monotonic() + timeout
        while f"tern:{host.name}> " not in host.log() and not PROMPT.search(host.log()[-64:].encode()):
            if not host.is_alive() or time.monotonic() > end:
                why = "stopped" if not host.is_alive() else f"showed no prompt within {timeout} s"
                tail = "\n".join(host.log().splitlines()[-15:])
                raise LabError(f"{host.name} {why}; the last lines of its log:\n{tail}\n"
                               + (host.dir / "stderr").read_text())
            time.sleep(0.02)

    # ---- the wire's weather

    def weather(self, order, card=0):
        """One order to the relay of one of the wires, for example 'loss=1% delay=10ms' or 'cut'."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(10)
        sock.connect(str(wire_path(self.dir / "weather", card)))
        sock.sendall(order.encode() + b"\n")
        answer = sock.makefile().readline().strip()
        sock.close()
        if not answer.startswith("ok"):
            raise LabError(f"weather '{order}': {answer}")
        return answer

    def down(self):
        for host in self.hosts:
            host.kill()
        for wire in self.dir.glob("wire/pid*"):
            try:
                os.kill(int(wire.read_text()), signal.SIGTERM)
            except (OSError, ValueError):
                pass
            wire.unlink()
        for leftover in list(self.dir.glob("host*/console")) + list(self.dir.glob("host*/com2")) + \
                list(self.dir.glob("direct*")) + list(self.dir.glob("weather*")):
            leftover.unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()
