#!/usr/bin/env python3
"""Compares the time that processes take to add up gradients over a network with the model of docs/scaling.md.

Every process sleeps instead of computing, and then adds up gradients by Perigee's own code (`perigee bench reduce`, which compares the sums
with those of one process bit for bit). Each is in a network namespace of its own, so that all it sends goes over the network. Takes root,
OpenMPI, ip and a C compiler.

The kernel's veth devices and a bridge join the namespaces where nothing is limited (--gigabits 0); else a program joins them that hands on
packets at a rate and after a delay (network/slow.c), because not every kernel can delay packets. Many processes on few cores take longer
than their network would. --dilation D therefore makes everything D times slower, the computing, the line and the delay, and divides the
times that are measured: what the cores take on top counts for a D-th.

Exit code 1 if a time is more than 20 % off the model, where there is a limit, or an efficiency is below --least.
"""
import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEVICE = "perigee0"
# Of TCP and IP, in each packet.
HEADER_BYTES = 52


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", default="1,2,4,8", help="numbers of processes (default: %(default)s)")
    parser.add_argument("--bytes", type=int, default=3_500_000, help="of one set of gradients (default: a LoRA on RoBERTa-base)")
    parser.add_argument("--compute-seconds", type=float, default=1, help="of one piece (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="updates that are measured (default: %(default)s)")
    parser.add_argument("--gigabits", type=float, default=1, help="of each process's line, a second; 0: no limit (default: %(default)s)")
    parser.add_argument("--milliseconds", type=float, default=1, help="that a packet is on the way (default: %(default)s)")
    parser.add_argument("--dilation", type=float, default=1, help="by how much all is slowed down (default: %(default)s)")
    parser.add_argument("--mtu", type=int, default=9000, help="bytes of a packet (default: %(default)s)")
    parser.add_argument("--least", type=float, default=0, help="efficiency that is asked for (default: %(default)s)")
    parser.add_argument("--perigee", default=ROOT + "/.build/release/perigee", help="the program (default: the release build)")
    return parser.parse_args()


def command(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True)


def address(i):
    return f"10.77.{i // 250}.{i % 250 + 1}"


def expected_seconds(count, settings):
    """The model: the all-gather of what a piece says of itself, then slices to their owners, and their sums to all."""
    if count == 1:
        return 0.0
    alpha, beta = settings.milliseconds / 1e3, 8 / (settings.gigabits * 1e9)
    piece = settings.bytes / count
    payload = (settings.mtu - HEADER_BYTES) / settings.mtu
    gather = math.log2(count) if count & (count - 1) == 0 else 1
    return gather * alpha + 2 * alpha + 2 * (count - 1) * piece * beta / payload


class Network:
    """Namespaces joined with each other."""

    def __init__(self, count, settings, folder):
        self.names = [f"perigee-{os.getpid()}-{i}" for i in range(count)]
        self.bridge = f"perigee-{os.getpid()}-bridge"
        self.program = None
        self.spaces = []
        for name in self.names:
            self.add(name)
        if settings.gigabits > 0:
            self.join_slowly(settings, folder)
        else:
            self.join()

    def add(self, name):
        command("ip", "netns", "add", name)
        self.spaces.append(name)
        command("ip", "-n", name, "link", "set", "lo", "up")
        # Without losses it does what the usual cubic does, and every kernel lets namespaces choose it.
        command("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")

    def join(self):
        self.add(self.bridge)
        command("ip", "-n", self.bridge, "link", "add", "middle", "type", "bridge")
        command("ip", "-n", self.bridge, "link", "set", "middle", "up")
        for i, name in enumerate(self.names):
            command("ip", "-n", name, "link", "add", DEVICE, "type", "veth", "peer", "name", f"port{i}", "netns", self.bridge)
            command("ip", "-n", self.bridge, "link", "set", f"port{i}", "master", "middle", "up")
            command("ip", "-n", name, "address", "add", address(i) + "/16", "dev", DEVICE)
            command("ip", "-n", name, "link", "set", DEVICE, "up")

    def join_slowly(self, settings, folder):
        slow = folder + "/slow"
        if not os.path.exists(slow):
            command(os.environ.get("CC", "cc"), "-O2", "-o", slow, ROOT + "/scripts/network/slow.c")
        rate, delay = settings.gigabits * 1e9 / settings.dilation, settings.milliseconds / 1e3 * settings.dilation
        self.program = subprocess.Popen(
            [slow, DEVICE, str(rate), str(delay), str(settings.mtu)] + self.names, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.program.stdout.readline() != "ready\n":
            sys.exit("network-bars.py: network/slow.c cannot join the namespaces")

    def close(self):
        if self.program:
            self.program.stdin.close()
            self.program.wait()
        for name in self.spaces:
            command("ip", "netns", "delete", name, check=False)


def measure(count, settings, folder):
    network = Network(count, settings, folder)
    try:
        hosts, agent = folder + "/hosts", folder + "/agent"
        with open(hosts, "w") as file:
            file.writelines(f"{address(i)} slots=1\n" for i in range(count))
        with open(agent, "w") as file:
            # mpirun starts its part on each machine by a remote shell: here, in that machine's namespace.
            file.write("#!/bin/sh\nwhile [ \"${1#10.77.}\" = \"$1\" ]; do shift; done\nspace=$1; shift\ncase $space in\n")
            file.writelines(f"{address(i)}) space={name} ;;\n" for i, name in enumerate(network.names))
            file.write("esac\nexec ip netns exec $space sh -c \"$*\"\n")
        os.chmod(agent, 0o700)
        words = ["ip", "netns", "exec", network.names[0], "mpirun.openmpi", "--allow-run-as-root", "-n", str(count), "--hostfile", hosts]
        for name, value in {
            "plm_rsh_agent": agent, "plm_rsh_no_tree_spawn": "1", "plm_rsh_num_concurrent": "64", "btl": "tcp,self", "pml": "ob1",
            "btl_tcp_if_include": DEVICE, "oob_tcp_if_include": DEVICE, "hwloc_base_binding_policy": "none", "routed": "direct",
            "orte_keep_fqdn_hostnames": "1",
        }.items():
            words += ["--mca", name, value]
        words += [
            settings.perigee, "bench", "reduce", "--json", "--bytes", str(settings.bytes), "--steps", str(settings.steps), "--compute-seconds",
            str(settings.compute_seconds * settings.dilation)]
        outcome = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if outcome.returncode != 0:
            sys.exit(f"network-bars.py: {count} processes: {outcome.stderr[-2000:]}{outcome.stdout[-500:]}")
        return json.loads(outcome.stdout.splitlines()[-1])
    finally:
        network.close()


def main():
    settings = options()
    # So that the namespaces go, and mpirun ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid() != 0:
        sys.exit("network-bars.py: only root can make network namespaces")
    if not os.access(settings.perigee, os.X_OK):
        sys.exit(f"network-bars.py: {settings.perigee}: no such program (build it, or name it with --perigee)")
    line = f"{settings.gigabits:g} Gbit/s, {settings.milliseconds:g} ms" if settings.gigabits > 0 else "veth without a limit"
    print(f"{line}; {settings.bytes} bytes; {settings.compute_seconds:g} s a piece; slowed down {settings.dilation:g} times")
    print("| processes | adding up (ms) | smallest to largest | model (ms) | measured / model | efficiency |\n|---|---|---|---|---|---|", flush=True)
    is_met = True
    with tempfile.TemporaryDirectory() as folder:
        for count in [int(number) for number in settings.processes.split(",")]:
            report = measure(count, settings, folder)
            times = {name: value * 1e3 / settings.dilation for name, value in report["communication_seconds"].items()}
            model, ratio = "", ""
            if settings.gigabits > 0 and count > 1:
                seconds = expected_seconds(count, settings)
                model, ratio = f"{seconds * 1e3:.1f}", f"{times['median'] / 1e3 / seconds:.2f}"
                is_met = is_met and 0.8 <= times["median"] / 1e3 / seconds <= 1.2
            is_met = is_met and report["efficiency"] >= settings.least
            print(
                f"| {count} | {times['median']:.2f} | {times['min']:.2f} to {times['max']:.2f} | {model} | {ratio} | {report['efficiency']:.3f} |",
                flush=True)
    sys.exit(0 if is_met else 1)


main()
